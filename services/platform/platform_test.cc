#include "services/platform/platform.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

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
    // Whoever asks while it stops gets an answer or none, never freed memory.
    std::thread prober([&, url = platform->state().admin + "/readyz"] {
      http::Client own;
      while (own.Send({.url = url}).ok()) {
      }
    });
    platform->Stop();
    prober.join();
    EXPECT_EQ(Get(platform->state().admin + "/healthz"), 0);
    EXPECT_FALSE(std::filesystem::exists(dir_ / "data/platform.json"));
  }
}

TEST_F(PlatformTest, APortInUseIsNamedAndNothingIsLeftBehind) {
  http::Server other({}, logger_);
  ASSERT_OK(other.Start());
  const std::string taken = "127.0.0.1:" + std::to_string(other.port());
  const std::pair<std::string Options::*, std::string> flags[] = {
      {&Options::http_address, "--http-address"},
      {&Options::admin_address, "--admin-address"},
      {&Options::grpc_address, "--grpc-address"},
      {&Options::metrics_address, "--metrics-address"}};
  for (const auto& [address, flag] : flags) {
    Options options = Small();
    options.*address = taken;
    const absl::Status status = Start(options).status();
    EXPECT_THAT(status, HasReasonThat("PORT_IN_USE"));
    EXPECT_THAT(status.ToString(), HasSubstr(taken));
    EXPECT_THAT(status.ToString(), HasSubstr("hoose another port or stop"));
    EXPECT_THAT(status.ToString(), HasSubstr("try  " + flag + " HOST:PORT"));
  }
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
  const absl::Status status = Start(options).status();
  EXPECT_THAT(status, HasReasonThat("POSTGRES_NOT_INSTALLED"));
  EXPECT_THAT(status.ToString(), HasSubstr("apt-get install postgresql-15"));
}

TEST_F(PlatformTest, ItsModelServerComesBackOnTheSameAddress) {
  Options options = Small();
  options.model_server = true;
  options.program_folder = std::filesystem::path(std::getenv("CROSSOVER_BINARY_DIR")) / "bin";
  if (!std::filesystem::exists(options.program_folder / "crossover-model-server"))
    GTEST_SKIP() << "built without LibTorch: there is no model server";
  ASSERT_OK_AND_ASSIGN(auto platform, Start(options));
  const std::string url = platform->state().model_server + "/v1/models";
  const auto answers = [&] {
    for (int i = 0; i < 600; ++i) {
      if (Get(url) == 200) return true;
      SystemClock().SleepFor(absl::Milliseconds(100));
    }
    return false;
  };
  ASSERT_TRUE(answers()) << url;
  const auto first = logger_.Events("child_started");
  ASSERT_EQ(first.size(), 2u);  // Postgres is one too
  ::kill(static_cast<pid_t>(std::stoi(*first[1].Field("pid"))), SIGKILL);
  while (Get(url) == 200) SystemClock().SleepFor(absl::Milliseconds(20));
  EXPECT_TRUE(answers()) << url;
  EXPECT_EQ(logger_.Events("child_started").size(), 3u);
  EXPECT_EQ(Get(platform->state().metrics + "/metrics"), 200);
  EXPECT_THAT(last_body_, HasSubstr("crossover_build_info{service=\"model-server\""));
}

// A program that stands for each child and writes down how it was called.
TEST_F(PlatformTest, SettingsOfTheChildrenReachThem) {
  const std::filesystem::path programs = dir_ / "programs";
  for (const char* name : {"crossover-model-server", "crossover-trainer-worker"}) {
    testing::WriteFile(programs / name, "#!/bin/sh\necho \"$@\" > " + (programs / name).string() +
                                            ".called\nexec sleep 600\n");
    std::filesystem::permissions(programs / name, std::filesystem::perms::owner_all);
  }
  Options options = Small();
  options.model_server = true;
  options.trainer_workers = 1;
  options.program_folder = programs;
  options.child_settings = {.compute_type = "fp32", .max_gang = 2, .kv_cache_mb = 256};
  ASSERT_OK_AND_ASSIGN(auto platform, Start(options));
  const auto called = [&](const char* name) {
    const std::filesystem::path path = programs / (std::string(name) + ".called");
    for (int i = 0; i < 600; ++i) {
      if (std::filesystem::exists(path) && std::filesystem::file_size(path) > 0)
        return testing::ReadFile(path);
      SystemClock().SleepFor(absl::Milliseconds(50));
    }
    return std::string();
  };
  const std::string model_server = called("crossover-model-server");
  EXPECT_THAT(model_server, HasSubstr("--compute-type=fp32 --kv-cache-mb=256"));
  EXPECT_EQ(model_server.find("--max-gang"), std::string::npos) << model_server;
  EXPECT_THAT(called("crossover-trainer-worker"),
              HasSubstr("--compute-type=fp32 --max-gang=2 --gang-address=127.0.0.1:"));
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
