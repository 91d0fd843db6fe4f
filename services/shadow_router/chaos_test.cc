// kill -9 of the real binary while requests are under way: after the restart the ledger adds up and
// nothing stays in flight.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "common/http/client.h"
#include "common/process/spawn.h"
#include "common/testing/fake_upstream.h"
#include "common/testing/free_port.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/testing/temp_dir.h"
#include "services/registry/module.h"
#include "services/shadow_router/storage/storage.h"

namespace crossover::router {
namespace {

constexpr char kRoute[] = "projects/default/routes/sorter";
constexpr char kExperiment[] = "projects/default/experiments/e1";

class RouterChaosTest : public ::testing::Test {
 protected:
  RouterChaosTest() {
    Route route{.name = kRoute, .primary = "old", .salt = "s", .shadow_salt = "t"};
    for (const char* name : {"old", "new"}) {
      route.variants[name] = {
          .model = {.kind = ModelRef::Kind::kBaseModel, .model = std::string("m-") + name}};
    }
    EXPECT_OK(store_->CreateRoute(route, "", SystemClock().Now()));
    Experiment experiment{
        .name = kExperiment, .route = kRoute, .baseline = "old", .candidate = "new"};
    EXPECT_OK(store_->CreateExperiment(experiment, "", SystemClock().Now()));
    experiment.state = ExperimentState::kShadow;
    experiment.start_time = experiment.state_time = SystemClock().Now();
    EXPECT_OK(store_->ApplyTransition(experiment,
                                      {.experiment = kExperiment,
                                       .sequence = 1,
                                       .to = experiment.state,
                                       .actor = "test",
                                       .time = SystemClock().Now(),
                                       .words = "test"},
                                      ""));
  }
  ~RouterChaosTest() override { Kill(); }

  void StartRouter() {
    const std::string binary =
        std::string(std::getenv("CROSSOVER_BINARY_DIR")) + "/bin/crossover-shadow-router";
    auto pid = Spawn(
        {.argv = {binary, "--grpc-address", "127.0.0.1:" + std::to_string(testing::FreePort()),
                  "--metrics-address", "127.0.0.1:" + std::to_string(testing::FreePort()),
                  "--http-address", "127.0.0.1:" + std::to_string(port_), "--database-url",
                  database_.dsn(), "--model-server", model_.base_url(), "--registry", "127.0.0.1:1",
                  "--instance", "chaos", "--journal", (folder_ / "journal").string(),
                  "--flush-interval", "50ms"},
         .parent_death_signal = SIGKILL,
         .output = folder_ / "log"});
    ASSERT_OK(pid);
    pid_ = *pid;
    for (int i = 0; i < 600; ++i) {
      const auto ready =
          client_.Send({.method = "GET", .url = Url("/readyz"), .timeout = absl::Seconds(1)});
      if (ready.ok() && ready->status == 200) return;
      SystemClock().SleepFor(absl::Milliseconds(50));
    }
    FAIL() << "the router did not become ready: " << testing::ReadFile(folder_ / "log");
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  std::string Url(const std::string& path) {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }

  LedgerCounts Sum() {
    LedgerCounts sum;
    const auto rows = store_->ListLedger(kExperiment, std::nullopt);
    EXPECT_OK(rows);
    if (!rows.ok()) return sum;
    for (const LedgerRow& row : *rows) {
      EXPECT_TRUE(row.counts.AddsUp());
      sum.Add(row.counts);
    }
    return sum;
  }

  // The router's process hosts the registry.
  testing::PgDatabase database_{{registry::Module::RequiredMigrations(), RouterMigrations()}};
  std::unique_ptr<pg::Pool> pool_ = database_.NewPool("router");
  std::unique_ptr<RouterStore> store_ = NewPgRouterStore(*pool_);
  testing::TempDir folder_;
  testing::FakeUpstream model_;
  http::Client client_;
  int port_ = testing::FreePort();
  pid_t pid_ = 0;
};

TEST_F(RouterChaosTest, AfterKillsTheLedgerAddsUpAndNothingStaysInFlight) {
  constexpr int kKills = 5;
  int64_t answered = 0;
  // Mirrored calls of this kind never end: what is killed is killed in the middle of something.
  model_.SetResponder([](const http::Request& request) {
    const bool mirrored = request.body.find("m-new") != std::string::npos;
    const bool slow = request.body.find("slow") != std::string::npos;
    return testing::FakeUpstream::Reply{.stall = mirrored && slow};
  });
  for (int round = 0; round < kKills; ++round) {
    StartRouter();
    std::atomic<bool> stop = false;
    std::atomic<bool> slow = false;
    std::atomic<int64_t> ok = 0;
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&] {
        http::Client client;
        while (!stop) {
          const auto response = client.Send(
              {.method = "POST",
               .url = Url("/v1/chat/completions"),
               .body = std::string(R"({"model":"sorter","messages":[{"role":"user","content":")") +
                       (slow ? "slow" : "q") + R"("}]})",
               .timeout = absl::Seconds(5)});
          if (response.ok() && response->status == 200) ++ok;
        }
      });
    }
    while (ok < 150) SystemClock().SleepFor(absl::Milliseconds(5));
    slow = true;
    const int64_t before = ok;
    while (ok < before + 50) SystemClock().SleepFor(absl::Milliseconds(5));
    // A snapshot with calls under way has been flushed.
    for (int i = 0; i < 200 && Sum().in_flight == 0; ++i)
      SystemClock().SleepFor(absl::Milliseconds(10));
    Kill();
    model_.Release();
    stop = true;
    for (std::thread& client : clients) client.join();
    answered += ok;
  }
  StartRouter();
  for (int i = 0; i < 200 && Sum().in_flight > 0; ++i)
    SystemClock().SleepFor(absl::Milliseconds(50));
  const LedgerCounts sum = Sum();
  EXPECT_EQ(sum.in_flight, 0);
  EXPECT_GT(sum.paired, 0);
  EXPECT_GE(sum.dropped.at("crashed"), kKills) << "every kill left something in flight";
  EXPECT_LE(sum.sampled, answered + 4 * kKills) << "nothing is booked twice";
  const auto pairs = store_->ListPairs({.experiment = kExperiment}, {.size = 100'000});
  ASSERT_OK(pairs);
  EXPECT_EQ(static_cast<int64_t>(pairs->items.size()), sum.paired)
      << "pairs and ledger are one transaction";
}

}  // namespace
}  // namespace crossover::router
