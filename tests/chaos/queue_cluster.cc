#include "tests/chaos/queue_cluster.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/pg/migration.h"
#include "common/process/spawn.h"
#include "common/rpc/channel.h"
#include "common/testing/free_port.h"
#include "common/testing/matchers.h"
#include "services/training_scheduler/module.h"
#include "tests/chaos/job_history.h"

namespace crossover::chaos {
namespace {

constexpr char kData[] = "projects/default/datasets/d/versions/sha256:1";

std::string Binary(const std::string& name) {
  return absl::StrCat(std::getenv("CROSSOVER_BINARY_DIR"), "/bin/", name);
}

// What a test needs in the database; a database that is recovering is asked again.
void ExecuteSoon(const std::string& dsn, const std::string& sql) {
  for (int attempt = 0;; ++attempt) {
    const absl::StatusOr<int> exit = RunToEnd(
        {.argv = {"/usr/lib/postgresql/15/bin/psql", "-q", "-o", "/dev/null", "-c", sql, "-d", dsn},
         .output = "/dev/null"});
    ASSERT_OK(exit);
    if (*exit == 0) return;
    ASSERT_LT(attempt, 600) << sql;
    SystemClock().SleepFor(absl::Milliseconds(50));
  }
}

}  // namespace

void QueueCluster::SetUp() {
  ASSERT_OK_AND_ASSIGN(data_, platform::DataFolder::Open(folder_ / "data"));
  ASSERT_OK_AND_ASSIGN(postgres_,
                       platform::Postgres::Start({.healthy_after = absl::ZeroDuration()}, *data_,
                                                 SystemClock(), logger_, registry_));
  ASSERT_OK(
      pg::Migrate(postgres_->dsn(), scheduler::Module::RequiredMigrations(), logger_).status());
  ASSERT_OK_AND_ASSIGN(
      blobs_, NewDirectoryBlobStore({.root = data_->blobs(), .sync = false}, SystemClock()));
  ASSERT_OK_AND_ASSIGN(const std::string base, blobs_->PutBytes("a base model"));
  ExecuteSoon(postgres_->dsn(), scheduler::BaseModelSql("base", base));
  testing::WriteFile(folder_ / "rows/dataset.json", "{}");
  ASSERT_OK_AND_ASSIGN(const std::string rows, blobs_->PutFolder("dataset", folder_ / "rows"));
  curation_.Add(kData, rows, 100, 20);
  ASSERT_OK_AND_ASSIGN(curation_server_,
                       rpc::Server::Start({.addresses = {"127.0.0.1:0"}}, {&curation_}, logger_));
  for (int i = 0; i < kSchedulers; ++i) {
    ports_.push_back(testing::FreePort());
    relays_.push_back(std::make_unique<CutProxy>(ports_.back()));
    StartScheduler(i);
  }
  channel_ = rpc::NewChannel(Schedulers(), {.reconnect_max = absl::Milliseconds(200)});
  for (int i = 0; i < kWorkers; ++i) StartWorker(i);
}

void QueueCluster::TearDown() {
  for (Process& process : workers_) Kill(process);
  for (Process& process : schedulers_) Kill(process);
  if (curation_server_ != nullptr) curation_server_->Stop();
  if (HasFailure()) {
    for (const char* log : {"scheduler", "worker"}) {
      std::fprintf(stderr, "%s.log ends with:\n", log);
      const std::string text = testing::ReadFile(folder_ / absl::StrCat(log, ".log"));
      std::fputs(text.substr(text.size() - std::min<size_t>(text.size(), 4000)).c_str(), stderr);
    }
  }
}

std::string QueueCluster::Schedulers() const {
  std::string target = "ipv4:";
  for (const auto& relay : relays_) {
    absl::StrAppend(&target, target.back() == ':' ? "" : ",", "127.0.0.1:", relay->port());
  }
  return target;
}

void QueueCluster::Launch(Process& process, const std::string& log) {
  SpawnOptions options;
  options.argv = process.argv;
  options.parent_death_signal = SIGKILL;
  options.output = log;
  ASSERT_OK_AND_ASSIGN(process.pid, Spawn(options));
}

void QueueCluster::Kill(Process& process) {
  if (process.pid == 0) return;
  kill(process.pid, SIGKILL);
  waitpid(process.pid, nullptr, 0);
  process.pid = 0;
}

void QueueCluster::StartScheduler(int number) {
  Process& process = schedulers_[static_cast<size_t>(number)];
  process.argv = {Binary("crossover-training-scheduler"),
                  absl::StrCat("--grpc-address=127.0.0.1:", ports_[static_cast<size_t>(number)]),
                  "--metrics-address=127.0.0.1:0",
                  absl::StrCat("--curation=127.0.0.1:", curation_server_->port()),
                  "--database-url=" + postgres_->dsn(),
                  "--blob-dir=" + data_->blobs().string(),
                  "--lease-ttl=8s",
                  "--heartbeat-interval=500ms",
                  "--log-level=error"};
  Launch(process, folder_ / "scheduler.log");
}

void QueueCluster::StartWorker(int number) {
  Process& process = workers_[static_cast<size_t>(number)];
  process.argv = {absl::StrCat(std::getenv("CROSSOVER_BINARY_DIR"), "/tests/chaos/short_worker"),
                  Schedulers(),
                  absl::StrCat("w", number),
                  absl::StrCat("life-", ++process.life),
                  data_->blobs().string(),
                  (folder_ / absl::StrCat("work", number)).string()};
  Launch(process, folder_ / "worker.log");
}

void QueueCluster::Strike(Fault fault, std::mt19937& dice) {
  switch (fault) {
    case Fault::kWorker: {
      const int number = static_cast<int>(dice() % kWorkers);
      Kill(workers_[static_cast<size_t>(number)]);
      ++TheTally().worker_kills;
      return StartWorker(number);
    }
    case Fault::kScheduler: {
      const int number = static_cast<int>(dice() % kSchedulers);
      Kill(schedulers_[static_cast<size_t>(number)]);
      return StartScheduler(number);
    }
    case Fault::kPostgres:
      // Its supervisor starts it anew. No pid: it has not come back from the time before.
      if (postgres_->pid() > 0 && kill(postgres_->pid(), SIGKILL) == 0) {
        ++TheTally().postgres_kills;
      }
      return;
    case Fault::kPostgresConnections:
      return ExecuteSoon(postgres_->dsn(),
                         "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                         " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
    case Fault::kWorkerConnections:
      return relays_[dice() % kSchedulers]->Cut();
  }
}

}  // namespace crossover::chaos
