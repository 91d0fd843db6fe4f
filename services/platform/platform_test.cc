#include "services/platform/platform.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/http/client.h"
#include "common/http/server.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"

namespace crossover::platform {
namespace {

using ::testing::HasSubstr;

class PlatformTest : public ::testing::Test {
 protected:
  // Everything but the children, on free ports.
  Options Small() {
    return {.data = dir_ / "data",
            .http_address = "127.0.0.1:0",
            .admin_address = "127.0.0.1:0",
            .grpc_address = "127.0.0.1:0",
            .metrics_address = "127.0.0.1:0",
            .import_base_model = false,
            .model_server = false,
            .trainer_workers = 0};
  }
  absl::StatusOr<std::unique_ptr<Platform>> Start(Options options) {
    return Platform::Start(std::move(options), SystemClock(), SystemRandom(), logger_);
  }
  int Get(const std::string& url) {
    auto response = client_.Send({.url = url});
    last_body_ = response.ok() ? response->body : "";
    return response.ok() ? response->status : 0;
  }

  testing::TempDir dir_;
  FakeLogger logger_;
  http::Client client_;
  std::string last_body_;
};

TEST_F(PlatformTest, StartsServesAndStartsAgainOnTheSameData) {
  for (int round = 0; round < 2; ++round) {
    ASSERT_OK_AND_ASSIGN(auto platform, Start(Small()));
    EXPECT_OK(platform->Ready());
    const auto state = nlohmann::json::parse(testing::ReadFile(dir_ / "data/platform.json"));
    EXPECT_EQ(state.at("grpc"), platform->state().grpc);
    EXPECT_EQ(Get(platform->state().admin + "/readyz"), 200) << last_body_;
    EXPECT_EQ(Get(platform->state().metrics + "/metrics"), 200);
    EXPECT_THAT(last_body_, HasSubstr("crossover_build_info{service=\"platform\""));
    platform->Stop();
    EXPECT_EQ(Get(platform->state().admin + "/healthz"), 0);
    EXPECT_FALSE(std::filesystem::exists(dir_ / "data/platform.json"));
  }
}

TEST_F(PlatformTest, APortInUseIsNamedAndNothingIsLeftBehind) {
  http::Server other({}, logger_);
  ASSERT_OK(other.Start());
  const std::string taken = "127.0.0.1:" + std::to_string(other.port());
  Options options = Small();
  options.grpc_address = taken;
  EXPECT_THAT(Start(options).status(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(taken)));
  options = Small();
  options.admin_address = taken;
  EXPECT_THAT(Start(options).status(), HasReasonThat("PORT_IN_USE"));
  EXPECT_OK(Start(Small()));
}

TEST_F(PlatformTest, ASecondPlatformOnTheSameDataIsRefused) {
  ASSERT_OK_AND_ASSIGN(auto platform, Start(Small()));
  EXPECT_THAT(Start(Small()).status(), HasReasonThat("DATA_FOLDER_IN_USE"));
  EXPECT_OK(platform->Ready());
}

TEST_F(PlatformTest, PostgresNotInstalledSaysWhatToDo) {
  Options options = Small();
  options.postgres.binaries = "/nonexistent";
  EXPECT_THAT(Start(options).status(), HasReasonThat("POSTGRES_NOT_INSTALLED"));
}

TEST_F(PlatformTest, AMissingChildProgramIsNamed) {
  Options options = Small();
  options.model_server = true;
  options.program_folder = dir_.path();
  EXPECT_THAT(
      Start(options).status(),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr((dir_ / "crossover-model-server").string())));
}

TEST_F(PlatformTest, AMissingBaseModelIsNamed) {
  Options options = Small();
  options.import_base_model = true;
  options.base_model = dir_ / "no-such.gguf";
  EXPECT_THAT(Start(options).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such.gguf")));
}

}  // namespace
}  // namespace crossover::platform
