#include "common/config/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"

namespace crossover::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    config_.Add("listen", "host:port of the gRPC server", &listen);
    config_.Add("http-port", "port of the data plane", &http_port);
    config_.Add("drain-timeout", "how long to wait", &drain);
    config_.Add("reflection", "serve reflection", &reflection);
    config_.Add("queues", "queues to take from", &queues);
    config_.Add("ratio", "a share", &ratio);
    config_.Add("data", "data folder", &data);
    config_.AddSecret("pg-password", "password", &password);
  }
  absl::Status Parse(std::vector<std::string> args, Config::Environment environment = {}) {
    return config_.Parse(args, environment).status();
  }

  std::string listen = "127.0.0.1:7070";
  int http_port = 8080;
  absl::Duration drain = absl::Seconds(30);
  bool reflection = true;
  std::vector<std::string> queues = {"default"};
  double ratio = 0.5;
  std::filesystem::path data;
  std::string password;
  Config config_{"crossover-test", "A test."};
  testing::TempDir dir_;
};

TEST_F(ConfigTest, DefaultsStandWhenNothingIsSaid) {
  EXPECT_OK(Parse({}));
  EXPECT_EQ(http_port, 8080);
  EXPECT_EQ(config_.SourceOf("http-port"), "default");
}

TEST_F(ConfigTest, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  testing::WriteFile(dir_ / "c.yaml",
                     "listen: file\nhttp:\n  port: 1\ndrain-timeout: 5m\nqueues: [a, b]\n");
  EXPECT_OK(
      Parse({"--config", dir_ / "c.yaml", "--http-port=3"},
            {{"CROSSOVER_HTTP_PORT", "2"}, {"CROSSOVER_DRAIN_TIMEOUT", "1h30m"}, {"HOME", "/"}}));
  EXPECT_EQ(http_port, 3);
  EXPECT_EQ(drain, absl::Minutes(90));
  EXPECT_EQ(listen, "file");
  EXPECT_THAT(queues, ElementsAre("a", "b"));
  EXPECT_EQ(config_.SourceOf("http-port"), "flag");
  EXPECT_EQ(config_.SourceOf("drain-timeout"), "environment");
  EXPECT_EQ(config_.SourceOf("listen"), "file");
}

TEST_F(ConfigTest, BooleansNeedNoValue) {
  reflection = false;
  EXPECT_OK(Parse({"--reflection"}));
  EXPECT_TRUE(reflection);
  EXPECT_OK(Parse({"--reflection=false"}));
  EXPECT_FALSE(reflection);
}

TEST_F(ConfigTest, UnknownKeysAreFatalAndTheNearestIsNamed) {
  EXPECT_THAT(Parse({"--http-prot=1"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("did you mean --http-port?")));
  EXPECT_THAT(
      Parse({}, {{"CROSSOVER_HTTP_PROT", "1"}}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("did you mean CROSSOVER_HTTP_PORT?")));
  testing::WriteFile(dir_ / "c.yaml", "\nhttp:\n  prot: 1\n");
  EXPECT_THAT(Parse({"--config", dir_ / "c.yaml"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("c.yaml:3: http-prot is not a setting")));
}

// What the documentation tells people to set may be set in the shell that starts a program.
TEST_F(ConfigTest, VariablesOfOtherProgramsOfTheHouseAreLeftAlone) {
  for (const char* documented :
       {"CROSSOVER_WHEELS", "CROSSOVER_SERVER", "CROSSOVER_API_KEY", "CROSSOVER_API_KEY_FILE",
        "CROSSOVER_LLAMA_SERVER", "CROSSOVER_PEERS_PYTHON", "CROSSOVER_COMPAT_PYTHON",
        "CROSSOVER_COMPAT_TEMPLATES", "CROSSOVER_JSON_SCHEMA_SUITE"})
    EXPECT_OK(Parse({}, {{documented, "/x"}})) << documented;
}

TEST_F(ConfigTest, WrongValuesSayWhereAndWhatWouldBeRight) {
  EXPECT_THAT(Parse({"--http-port=many"}), StatusIs(absl::StatusCode::kInvalidArgument,
                                                    "--http-port: 'many' is not a whole number"));
  EXPECT_THAT(Parse({}, {{"CROSSOVER_DRAIN_TIMEOUT", "30"}}), HasReasonThat("CONFIG_INVALID"));
  EXPECT_THAT(Parse({"--ratio=x"}), HasReasonThat("CONFIG_INVALID"));
  EXPECT_THAT(Parse({"--config", dir_ / "missing.yaml"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("missing.yaml")));
  testing::WriteFile(dir_ / "broken.yaml", "a: [1,\n");
  EXPECT_THAT(Parse({"--config", dir_ / "broken.yaml"}), HasReasonThat("CONFIG_INVALID"));
  EXPECT_THAT(Parse({"stray"}), HasReasonThat("CONFIG_INVALID"));
}

TEST_F(ConfigTest, SecretsComeFromFileOrEnvironmentAndAreNeverShown) {
  testing::WriteFile(dir_ / "secret", "hunter2\n");
  EXPECT_OK(Parse({"--pg-password-file", dir_ / "secret"}));
  EXPECT_EQ(password, "hunter2");
  EXPECT_THAT(config_.EffectiveJson(), ::testing::Not(HasSubstr("hunter2")));
  EXPECT_EQ(nlohmann::json::parse(config_.EffectiveJson()).at("pg-password"), "<redacted>");
  EXPECT_OK(Parse({}, {{"CROSSOVER_PG_PASSWORD", "other"}}));
  EXPECT_EQ(password, "other");
  EXPECT_OK(Parse({}, {{"CROSSOVER_PG_PASSWORD_FILE", dir_ / "secret"}}));
  EXPECT_EQ(password, "hunter2");
  EXPECT_THAT(Parse({"--pg-password=visible-in-ps"}), HasReasonThat("CONFIG_INVALID"));
  testing::WriteFile(dir_ / "c.yaml", "pg-password: hunter2\n");
  EXPECT_THAT(Parse({"--config", dir_ / "c.yaml"}), HasReasonThat("CONFIG_INVALID"));
}

TEST_F(ConfigTest, EffectiveConfigurationIsPrintedInOrder) {
  EXPECT_OK(Parse({"--data=/tmp/x"}));
  EXPECT_EQ(
      config_.EffectiveJson(),
      R"({"listen":"127.0.0.1:7070","http-port":8080,"drain-timeout":"30s","reflection":true,"queues":["default"],)"
      R"("ratio":0.5,"data":"/tmp/x","pg-password":""})");
}

TEST_F(ConfigTest, HelpEndsTheProgram) {
  ::testing::internal::CaptureStdout();
  EXPECT_THAT(config_.Parse({"--help"}, {}), IsOkAndHolds(Next::kExit));
  const std::string help = ::testing::internal::GetCapturedStdout();
  EXPECT_THAT(help, HasSubstr("--http-port"));
  EXPECT_THAT(help, HasSubstr("CROSSOVER_HTTP_PORT"));
  EXPECT_THAT(help, HasSubstr("8080"));
}

}  // namespace
}  // namespace crossover::config
