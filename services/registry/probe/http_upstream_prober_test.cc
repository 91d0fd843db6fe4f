#include "services/registry/probe/http_upstream_prober.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/http/server.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"

namespace crossover::registry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ProberTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.Handle("GET", "/v1/models", [this](const http::Request& request) {
      authorization_ = std::string(request.headers.Get("authorization").value_or(""));
      return http::Response::Json(models_status_, models_);
    });
    server_.Handle("POST", "/v1/chat/completions", [this](const http::Request& request) {
      question_ = request.body;
      return http::Response::Json(
          200, R"({"model":"m-2026","system_fingerprint":"fp1","choices":[{}]})");
    });
    ASSERT_OK(server_.Start());
    request_.base_url = "http://127.0.0.1:" + std::to_string(server_.port()) + "/v1";
  }

  FakeLogger logger_;
  http::Server server_{{.port = 0}, logger_};
  int models_status_ = 200;
  std::string models_ = R"({"data":[{"id":"m"},{"id":"n"}]})";
  std::string authorization_;
  std::string question_;
  ProbeRequest request_;
  HttpUpstreamProber prober_{SystemClock()};
};

TEST_F(ProberTest, ListsModelsAndRecordsTheRevisionThatAnswered) {
  crossover::testing::TempDir dir;
  crossover::testing::WriteFile(dir / "key", "sk-1\n");
  request_.credential_ref = "file:" + (dir / "key").string();
  const auto result = prober_.Probe(request_);
  ASSERT_OK(result);
  EXPECT_THAT(result->models, ElementsAre("m", "n"));
  EXPECT_EQ(result->model, "m");
  EXPECT_EQ(result->revision, "m-2026 fp1");
  EXPECT_EQ(authorization_, "Bearer sk-1");
  EXPECT_THAT(question_, HasSubstr("\"max_tokens\":1"));
}

TEST_F(ProberTest, SaysWhatAnUnhealthyUpstreamAnswered) {
  models_status_ = 401;
  models_ = R"({"error":{"message":"bad key"}})";
  const auto result = prober_.Probe(request_);
  EXPECT_THAT(result, HasReasonThat("UPSTREAM_UNHEALTHY"));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("status 401: bad key"));
}

TEST_F(ProberTest, RefusesAKeyInPlaceOfItsReference) {
  request_.credential_ref = "sk-secret";
  EXPECT_THAT(prober_.Probe(request_), HasReasonThat("CONFIG_INVALID"));
  request_.credential_ref = "env:CROSSOVER_NO_SUCH_VARIABLE";
  EXPECT_THAT(prober_.Probe(request_), HasReasonThat("CONFIG_INVALID"));
  request_.credential_ref = "file:/nowhere/key";
  EXPECT_THAT(prober_.Probe(request_), HasReasonThat("CONFIG_INVALID"));
}

}  // namespace
}  // namespace crossover::registry
