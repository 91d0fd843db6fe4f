#include "services/shadow_router/transport/evaluation_records.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"

namespace crossover::router {
namespace {

namespace eval = ::crossover::evaluation::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FakeEvaluationService final : public eval::EvaluationService::Service {
 public:
  grpc::Status GetRun(grpc::ServerContext*, const eval::GetRunRequest* request,
                      eval::Run* run) override {
    if (request->name() == "projects/p/runs/none")
      return grpc::Status(grpc::StatusCode::NOT_FOUND, "there is no such run");
    run->set_state(request->name() == "projects/p/runs/over" ? eval::Run::SUCCEEDED
                                                             : eval::Run::RUNNING);
    run->add_results()->set_system_digest("sha256:a");
    run->add_results()->set_system_digest("sha256:b");
    run->add_systems()->mutable_base_model()->set_model("base");
    if (!alias.empty()) {
      type::v1::System* system = run->add_systems();
      system->set_prompt_version("projects/p/prompts/t/versions/sha256:p");
      system->mutable_adapter()->set_model(alias);
      system->mutable_adapter()->set_digest("sha256:adapter");
    }
    return grpc::Status::OK;
  }
  grpc::Status GetComparison(grpc::ServerContext*, const eval::GetComparisonRequest* request,
                             eval::Comparison* comparison) override {
    EXPECT_EQ(request->name(), "projects/p/comparisons/c");
    comparison->set_baseline("sha256:a");
    comparison->set_candidate("sha256:c");
    return grpc::Status::OK;
  }

  std::string alias;
};

TEST(EvaluationRecordsTest, NamesTheSystemsOfRunsThatEndedWellAndOfComparisons) {
  FakeEvaluationService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  EvaluationRecords records(server->InProcessChannel({}));
  EXPECT_THAT(*records.SystemsOf("projects/p/runs/over"), ElementsAre("sha256:a", "sha256:b"));
  EXPECT_THAT(*records.SystemsOf("projects/p/comparisons/c"), ElementsAre("sha256:a", "sha256:c"));
  EXPECT_THAT(records.SystemsOf("projects/p/runs/under_way"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is running")));
  EXPECT_THAT(records.SystemsOf("projects/p/runs/none"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(EvaluationRecordsTest, AnAdapterNamedByItsAliasIsTheOneOfARouteThatNamesItSo) {
  FakeEvaluationService service;
  service.alias = "ft:base:p:support:06bq3f2a";
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  EvaluationRecords records(server->InProcessChannel({}));
  const std::string routed =
      SystemDigest({.prompt_version = "projects/p/prompts/t/versions/sha256:p",
                    .model = {.kind = ModelRef::Kind::kAdapter, .model = service.alias}});
  EXPECT_THAT(*records.SystemsOf("projects/p/runs/over"),
              ElementsAre("sha256:a", "sha256:b", routed));
}

}  // namespace
}  // namespace crossover::router
