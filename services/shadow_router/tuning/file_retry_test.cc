// What a client that sends a file again finds: never the same file twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/http/client.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "services/shadow_router/tuning/fake_services.h"
#include "services/shadow_router/tuning/tuning_routes.h"

namespace crossover::router {
namespace {

using ::testing::HasSubstr;

class FileRetryTest : public ::testing::Test {
 protected:
  FileRetryTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&files_);
    grpc_ = builder.BuildAndStart();
    const auto channel = grpc_->InProcessChannel({});
    backend_ = std::make_unique<TuningBackend>(channel, channel, SystemClock());
    routes_ = std::make_unique<TuningRoutes>(TuningRoutesOptions{}, door_, *backend_);
    AddTuningRoutes(http_, *routes_);
    EXPECT_OK(http_.Start());
  }
  ~FileRetryTest() override {
    http_.Stop();
    grpc_->Shutdown();
  }

  http::ClientResponse Send(const std::string& path, const std::string& body,
                            const std::string& type) {
    http::ClientRequest request{.method = "POST",
                                .url = "http://127.0.0.1:" + std::to_string(http_.port()) + path,
                                .body = body};
    request.headers.Set("content-type", type);
    const auto response = client_.Send(std::move(request));
    EXPECT_OK(response);
    return response.value_or(http::ClientResponse{});
  }
  http::ClientResponse SendForm(const std::string& path, const std::string& field) {
    return Send(path,
                "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n"
                "--b\r\nContent-Disposition: form-data; name=\"" +
                    field + "\"; filename=\"rows.jsonl\"\r\n\r\n{}\n\r\n--b--\r\n",
                "multipart/form-data; boundary=b");
  }
  static nlohmann::json JsonOf(const http::ClientResponse& response) {
    return nlohmann::json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  }
  void ProblemsCannotBeListed() {
    curation_pb::Problem problem;
    problem.set_severity(curation_pb::Problem::ERROR);
    files_.next_problems = {problem};
    files_.next_reason = "1 of 21 lines are wrong and left out";
    files_.listing_problems = grpc::Status(grpc::StatusCode::INTERNAL, "the database is away");
  }

  FakeLogger logger_;
  FakeFiles files_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<TuningBackend> backend_;
  EveryoneIs callers_{Caller{.name = "test"}};
  KeyMeter meter_{SystemClock()};
  Door door_{callers_, meter_};
  std::unique_ptr<TuningRoutes> routes_;
  http::Server http_{{}, logger_};
  http::Client client_;
};

TEST_F(FileRetryTest, AFileThatIsStoredIsAnsweredThoughItsLinesCannotBeAskedFor) {
  ProblemsCannotBeListed();
  const http::ClientResponse stored = SendForm("/v1/files", "file");
  ASSERT_EQ(stored.status, 200) << stored.body;
  EXPECT_EQ(JsonOf(stored)["status"], "error");
  EXPECT_EQ(JsonOf(stored)["status_details"], "1 of 21 lines are wrong and left out");
  EXPECT_EQ(files_.entries.size(), 1u);
}

TEST_F(FileRetryTest, AnUploadThatIsCompletedIsAnsweredThoughItsLinesCannotBeAskedFor) {
  const nlohmann::json wanted = {{"bytes", 3},
                                 {"filename", "rows.jsonl"},
                                 {"mime_type", "text/jsonl"},
                                 {"purpose", "fine-tune"}};
  const std::string id =
      JsonOf(Send("/v1/uploads", wanted.dump(), "application/json")).value("id", "");
  const http::ClientResponse part = SendForm("/v1/uploads/" + id + "/parts", "data");
  ASSERT_EQ(part.status, 200) << part.body;
  ProblemsCannotBeListed();
  const nlohmann::json parts = {{"part_ids", {JsonOf(part)["id"]}}};
  const http::ClientResponse done =
      Send("/v1/uploads/" + id + "/complete", parts.dump(), "application/json");
  ASSERT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(JsonOf(done)["file"]["status"], "error");
}

TEST_F(FileRetryTest, AFileWhoseUploadFailedIsGone) {
  files_.uploads = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the answer was lost");
  EXPECT_GE(SendForm("/v1/files", "file").status, 500);
  EXPECT_TRUE(files_.entries.empty());
  files_.uploads = grpc::Status::OK;
  EXPECT_EQ(SendForm("/v1/files", "file").status, 200);
  EXPECT_EQ(files_.entries.size(), 1u);
}

TEST_F(FileRetryTest, AFileThatCannotBeDeletedEitherIsNamed) {
  files_.uploads = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the file is empty");
  files_.deletions = grpc::Status(grpc::StatusCode::INTERNAL, "the database is away");
  const http::ClientResponse answer = SendForm("/v1/files", "file");
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("may be left behind (the database is away)"));
  EXPECT_THAT(answer.body, HasSubstr("the file is empty"));
}

}  // namespace
}  // namespace crossover::router
