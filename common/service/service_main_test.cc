#include "common/service/service_main.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/http/client.h"
#include "common/http/server.h"
#include "common/log/fake_logger.h"
#include "common/status/error.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"

namespace crossover::service {
namespace {

using ::testing::HasSubstr;

// Says on a file what was done to it.
class FakeModule final : public rpc::Module {
 public:
  explicit FakeModule(std::filesystem::path out) : out_(std::move(out)) {}
  std::vector<grpc::Service*> Services() override { return {}; }
  absl::Status Start() override { return absl::OkStatus(); }
  void Drain() override { testing::WriteFile(out_, "drained"); }

 private:
  const std::filesystem::path out_;
};

class ServiceMainTest : public ::testing::Test {
 protected:
  // Runs a service in a process of its own, as main would.
  pid_t Run(std::vector<std::string> args) {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    (void)!std::freopen((dir_ / "stderr").c_str(), "w", stderr);
    std::setvbuf(stderr, nullptr, _IONBF, 0);
    std::vector<char*> argv = {const_cast<char*>("crossover-test")};
    for (std::string& arg : args) argv.push_back(arg.data());
    ServiceMain main("crossover-test", "A test.");
    ::_exit(main.Run(static_cast<int>(argv.size()), argv.data(),
                     [this](Runtime&) -> absl::StatusOr<std::unique_ptr<rpc::Module>> {
                       if (!module_error_.ok()) return module_error_;
                       return std::make_unique<FakeModule>(dir_ / "drained");
                     }));
  }
  int Wait(pid_t pid) {
    int status = -1;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  absl::Status module_error_;  // of building it
  testing::TempDir dir_;
};

TEST_F(ServiceMainTest, ServesUntilSigtermThenDrains) {
  FakeLogger logger;
  int port = 0;
  {
    http::Server probe({}, logger);  // finds a free port
    ASSERT_OK(probe.Start());
    port = probe.port();
  }
  const std::string metrics = "127.0.0.1:" + std::to_string(port);
  const pid_t pid =
      Run({"--grpc-address=unix:" + (dir_ / "grpc.sock").string(), "--metrics-address=" + metrics});
  http::Client client;
  int status = 0;
  for (int i = 0; i < 2000 && status != 200; ++i) {
    const auto response = client.Send({.url = "http://" + metrics + "/readyz"});
    status = response.ok() ? response->status : 0;
    if (status != 200) SystemClock().SleepFor(absl::Milliseconds(10));
  }
  EXPECT_EQ(status, 200);
  for (int i = 0; i < 2000 && testing::ReadFile(dir_ / "stderr").find("rpc_server_started") ==
                                  std::string::npos;
       ++i) {
    SystemClock().SleepFor(absl::Milliseconds(10));
  }
  ::kill(pid, SIGTERM);
  EXPECT_EQ(Wait(pid), 0) << testing::ReadFile(dir_ / "stderr");
  EXPECT_EQ(testing::ReadFile(dir_ / "drained"), "drained");
  EXPECT_THAT(testing::ReadFile(dir_ / "stderr"), HasSubstr("\"event\":\"config\""));
}

TEST_F(ServiceMainTest, AWrongSettingEndsTheProgramWithAReason) {
  EXPECT_EQ(Wait(Run({"--grpc-adress=x"})), 2);
  EXPECT_THAT(testing::ReadFile(dir_ / "stderr"), HasSubstr("did you mean --grpc-address?"));
  EXPECT_EQ(Wait(Run({"--log-level=loud"})), 2);
  EXPECT_EQ(Wait(Run({"--metrics-address=nowhere"})), 2);
}

TEST_F(ServiceMainTest, WhatIsNoFaultOfTheSettingsEndsTheProgramWithOne) {
  module_error_ = Error(absl::StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", "no database");
  EXPECT_EQ(Wait(Run({"--metrics-address=127.0.0.1:0"})), 1);
  EXPECT_THAT(testing::ReadFile(dir_ / "stderr"), HasSubstr("no database"));
}

TEST_F(ServiceMainTest, AnAddressThatOthersReachNeedsAKeyOrAnExplicitWord) {
  testing::WriteFile(dir_ / "short", "abc");
  EXPECT_EQ(Wait(Run({"--grpc-address=0.0.0.0:0", "--metrics-address=127.0.0.1:0"})), 2);
  EXPECT_THAT(testing::ReadFile(dir_ / "stderr"), HasSubstr("--service-key-file"));
  EXPECT_EQ(Wait(Run({"--metrics-address=127.0.0.1:0",
                      "--service-key-file=" + (dir_ / "short").string()})),
            2);
  EXPECT_THAT(testing::ReadFile(dir_ / "stderr"), HasSubstr("openssl rand -hex 32"));
}

class RuntimeExposureTest : public ::testing::Test {
 protected:
  absl::Status Check(const CommonOptions& options, const std::string& addresses,
                     bool has_key = false) {
    return Runtime(options, SystemClock(), SystemRandom(), logger_, registry_)
        .CheckExposure("grpc-address", addresses, has_key);
  }
  FakeLogger logger_;
  metrics::Registry registry_{"test"};
};

TEST_F(RuntimeExposureTest, OnlyThisMachineNeedsNoKey) {
  for (const char* here :
       {"127.0.0.1:7070", "127.8.0.1:1", "localhost:7070", "[::1]:7070", "unix:/run/x.sock", ""}) {
    EXPECT_OK(Check({}, here)) << here;
  }
  for (const char* open : {"0.0.0.0:7070", ":7070", "[::]:7070", "10.0.0.7:7070", "router:7070",
                           "127.0.0.1.example.org:7070", "127.0.0.1:7070,0.0.0.0:7071"}) {
    EXPECT_THAT(Check({}, open), HasReasonThat("CONFIG_INVALID")) << open;
    EXPECT_OK(Check({}, open, /*has_key=*/true)) << open;
  }
  EXPECT_EQ(logger_.Events("unauthenticated").size(), 0u);
  EXPECT_OK(Check({.allow_unauthenticated = true}, "0.0.0.0:7070"));
  EXPECT_EQ(logger_.Events("unauthenticated").size(), 1u);
}

TEST(RuntimeTest, WhoMayCallFollowsFromTheSettings) {
  FakeLogger logger;
  metrics::Registry registry("test");
  const auto admit = [&](const CommonOptions& options, const char* authorization) {
    Runtime runtime(options, SystemClock(), SystemRandom(), logger, registry);
    rpc::Authenticator* authenticator = runtime.authenticator();
    if (authenticator == nullptr) return rpc::Role::kAdmin;
    const auto who = authenticator->Authenticate(authorization, "ipv4:127.0.0.1:9");
    return who.ok() ? who->role : rpc::Role::kUnspecified;
  };
  const CommonOptions keyed{.service_key = std::string(32, 'k')};
  EXPECT_EQ(admit({}, ""), rpc::Role::kAdmin);
  EXPECT_EQ(admit(keyed, ""), rpc::Role::kUnspecified);
  EXPECT_EQ(admit(keyed, ("Bearer " + keyed.service_key).c_str()), rpc::Role::kService);
  EXPECT_EQ(admit({.allow_unauthenticated = true}, ""), rpc::Role::kAdmin);
}

TEST(RuntimeTest, ThePasswordIsPutIntoBothFormsOfTheUrl) {
  FakeLogger logger;
  metrics::Registry registry("test");
  CommonOptions options{.database_url = "postgresql://u@h/d", .database_password = "p w'"};
  EXPECT_EQ(Runtime(options, SystemClock(), SystemRandom(), logger, registry).Dsn(),
            "postgresql://u@h/d?password=%70%20%77%27");
  options.database_url = "host=h dbname=d";
  EXPECT_EQ(Runtime(options, SystemClock(), SystemRandom(), logger, registry).Dsn(),
            "host=h dbname=d password='p w\\''");
  options.database_password = "";
  EXPECT_EQ(Runtime(options, SystemClock(), SystemRandom(), logger, registry).Dsn(),
            "host=h dbname=d");
}

TEST(HostPortTest, IsTakenApartOrRefused) {
  EXPECT_EQ(ParseHostPort("127.0.0.1:80")->port, 80);
  EXPECT_EQ(ParseHostPort("localhost:80")->host, "127.0.0.1");
  EXPECT_EQ(ParseHostPort(":80")->host, "0.0.0.0");
  EXPECT_EQ(ParseHostPort("[::1]:80")->host, "::1");
  for (const char* bad : {"", "80", "host:", "host:x", "host:70000", "host:-1"}) {
    EXPECT_THAT(ParseHostPort(bad).status(), HasReasonThat("CONFIG_INVALID")) << bad;
  }
}

}  // namespace
}  // namespace crossover::service
