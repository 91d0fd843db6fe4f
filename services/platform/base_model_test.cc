#include "services/platform/base_model.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/log/fake_logger.h"
#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::platform {
namespace {

namespace model_pb = ::crossover::scheduler::v1;

// A project's models; an import makes one.
class FakeModelService final : public model_pb::ModelService::Service {
 public:
  std::vector<std::string> bases;
  std::vector<model_pb::ImportModelRequest> imports;

 private:
  grpc::Status ListModels(grpc::ServerContext*, const model_pb::ListModelsRequest* request,
                          model_pb::ListModelsResponse* response) override {
    if (request->parent() != "projects/default" || request->filter() != "kind = BASE")
      return {grpc::StatusCode::INVALID_ARGUMENT, "not what is asked for"};
    // The filter may leave a page empty that others follow.
    if (request->page_token().empty()) {
      response->set_next_page_token("more");
      return grpc::Status::OK;
    }
    for (const std::string& base : bases)
      response->add_models()->set_name("projects/default/models/" + base);
    return grpc::Status::OK;
  }
  grpc::Status ImportModel(grpc::ServerContext*, const model_pb::ImportModelRequest* request,
                           model_pb::ModelVersion*) override {
    imports.push_back(*request);
    bases.push_back(request->model_id());
    return grpc::Status::OK;
  }
};

class BaseModelTest : public ::testing::Test {
 protected:
  BaseModelTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&models_);
    server_ = builder.BuildAndStart();
    channel_ = rpc::NewChannel(absl::StrCat("127.0.0.1:", port));
    testing::WriteFile(dir_ / "bundled.gguf", "x");
    testing::WriteFile(dir_ / "My Model_7B.Q4_1.gguf", "x");
  }
  ~BaseModelTest() override { server_->Shutdown(); }

  absl::StatusOr<std::string> Import(const std::filesystem::path& given) {
    return ImportBaseModel(channel_, {.given = given, .bundled = dir_ / "bundled.gguf"}, logger_);
  }

  testing::TempDir dir_;
  FakeLogger logger_;
  FakeModelService models_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(BaseModelTest, TheBundledFileHasItsNameAndLicenceHoweverItIsGiven) {
  for (const std::filesystem::path& given : {std::filesystem::path(), dir_ / "bundled.gguf"}) {
    models_.bases.clear();
    EXPECT_THAT(Import(given), IsOkAndHolds(""));
    ASSERT_FALSE(models_.imports.empty());
    EXPECT_EQ(models_.imports.back().model_id(), "smollm2-135m-instruct");
    EXPECT_EQ(models_.imports.back().licence(), "Apache-2.0");
    EXPECT_EQ(models_.imports.back().gguf_path(), (dir_ / "bundled.gguf").string());
  }
}

TEST_F(BaseModelTest, AnotherFileHasItsOwnNameAndNobodysLicence) {
  EXPECT_THAT(Import(dir_ / "My Model_7B.Q4_1.gguf"), IsOkAndHolds(""));
  ASSERT_EQ(models_.imports.size(), 1u);
  EXPECT_EQ(models_.imports[0].model_id(), "my-model-7b-q4-1");
  EXPECT_EQ(models_.imports[0].licence(), "");
}

TEST_F(BaseModelTest, WhereThereIsABaseTheFlagIsIgnoredAloud) {
  models_.bases = {"first"};
  ASSERT_OK_AND_ASSIGN(const std::string note, Import(dir_ / "My Model_7B.Q4_1.gguf"));
  EXPECT_THAT(note, ::testing::HasSubstr("My Model_7B.Q4_1.gguf is ignored"));
  EXPECT_THAT(note, ::testing::HasSubstr("(first)"));
  EXPECT_THAT(note, ::testing::HasSubstr("crossover models import"));
  EXPECT_EQ(logger_.Events("base_model_ignored").size(), 1u);
  EXPECT_THAT(Import(""), IsOkAndHolds(""));
  EXPECT_TRUE(models_.imports.empty());
}

TEST_F(BaseModelTest, WithoutAnyFileOneIsToldHowToGetABase) {
  ASSERT_OK_AND_ASSIGN(const std::string note, ImportBaseModel(channel_, {}, logger_));
  for (const char* way : {"./dev setup", "--base-model FILE", "crossover models import"})
    EXPECT_THAT(note, ::testing::HasSubstr(way));
  EXPECT_EQ(logger_.Events("base_model_missing").size(), 1u);
  models_.bases = {"first"};
  EXPECT_THAT(ImportBaseModel(channel_, {}, logger_), IsOkAndHolds(""));
}

TEST(BaseModelSlugTest, IsAlwaysASlug) {
  EXPECT_EQ(BaseModelSlug("/m/SmolLM2-135M-Instruct.Q4_1.gguf"), "smollm2-135m-instruct-q4-1");
  EXPECT_EQ(BaseModelSlug("/m/Qwen2.5-0.5B"), "qwen2-5-0-5b");
  EXPECT_EQ(BaseModelSlug("models/small/"), "small");
  EXPECT_EQ(BaseModelSlug("3b.gguf"), "model-3b");
  EXPECT_EQ(BaseModelSlug("_-_.gguf"), "model");
  EXPECT_EQ(BaseModelSlug(std::string(62, 'a') + "-b.gguf"), std::string(62, 'a'));
}

}  // namespace
}  // namespace crossover::platform
