// The queue: claims at the store, pairs through gRPC, how a long queue and idle workers weigh, and
// River over the same Postgres in the same run. The server is a private Postgres 15 without fsync,
// so that processors are measured, not the disk.
//
// Usage: queue [--rows N] [--jobs N] [--only PART…]; parts: claims, pairs, depth, start, idle,
// river. Lines: `name value unit`. Percentiles are those of the best of five interleaved rounds:
// on a shared machine the others measure the neighbours; p99 is printed and not gated on.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/queue/grpc_load.h"
#include "bench/queue/river_peer.h"
#include "bench/queue/sampled.h"
#include "bench/queue/store_load.h"

namespace crossover::bench {
namespace {

constexpr int kRounds = 5;

void Claims(int64_t jobs) {
  QueueDatabase queue;
  double single = 0, batched = 0;
  for (int round = 0; round < 3; ++round) {
    queue.Refill(jobs / 2);
    single = std::max(single, queue.ClaimAll(jobs / 2, 4, 1));
    queue.Refill(jobs);
    batched = std::max(batched, queue.ClaimAll(jobs, 2, 64));
  }
  Print("queue.claims_one_by_one_per_second", single, "claims/s");
  Print("queue.claims_per_second", batched, "claims/s");
}

void Pairs() {
  SchedulerUnderLoad scheduler;
  double best = 0;
  for (int round = 0; round < 3; ++round) {
    scheduler.Fill(40'000);
    best = std::max(best, scheduler.Pairs(16, absl::Seconds(4)));
  }
  Print("queue.pairs_per_second_grpc", best, "pairs/s");
}

struct Best {
  double p50 = std::numeric_limits<double>::infinity();
  double p95 = p50;
  double p99 = p50;

  void Take(const std::vector<double>& times) {
    p50 = std::min(p50, Percentile(times, 0.5));
    p95 = std::min(p95, Percentile(times, 0.95));
    p99 = std::min(p99, Percentile(times, 0.99));
  }
  void PrintAll(const std::string& name) const {
    Print(absl::StrCat(name, "_p50"), p50, "ms");
    Print(absl::StrCat(name, "_p95"), p95, "ms");
    Print(absl::StrCat(name, "_p99"), p99, "ms");
  }
};

void Depth(int64_t rows) {
  QueueDatabase deep, shallow;
  deep.Fill(rows);
  Best deep_times, shallow_times;
  for (int round = 0; round < kRounds; ++round) {
    shallow.Refill(1000);
    deep.ClaimTimes(20);  // Warm-up.
    shallow.ClaimTimes(20);
    deep_times.Take(deep.ClaimTimes(300));
    shallow_times.Take(shallow.ClaimTimes(300));
  }
  deep_times.PrintAll("queue.claim_deep");
  shallow_times.PrintAll("queue.claim_1000");
  Print("queue.claim_p95_ratio_1m", deep_times.p95 / shallow_times.p95, "x");
}

void Start() {
  SchedulerUnderLoad scheduler;
  Best best;
  for (int round = 0; round < kRounds; ++round) best.Take(scheduler.SubmitToStart(20));
  Print("queue.submit_to_start_p50_ms", best.p50, "ms");
  Print("queue.submit_to_start_p95_ms", best.p95, "ms");
}

void Idle(const std::string& program) {
  SchedulerUnderLoad scheduler;
  const SchedulerUnderLoad::Idle idle = scheduler.IdleWorkers(1000, absl::Seconds(20), program);
  Print("queue.idle_pollers_core_share", idle.cores, "cores");
  Print("queue.idle_pollers_threads", idle.threads, "threads");
  Print("queue.idle_pollers_threads_more", idle.threads_more, "threads");
}

void River(int64_t jobs) {
  const testing::TempDir folder;
  const absl::StatusOr<RiverPeer> river = RiverPeer::Build(folder);
  if (!river.ok()) {
    std::fprintf(stderr, "queue.ratio_river is left out: %s\n", river.status().ToString().c_str());
    return;
  }
  const testing::PgDatabase database;
  QueueDatabase queue;
  double theirs = 0, ours = 0;
  for (int round = 0; round < 3; ++round) {
    theirs = std::max(theirs, Must(river->Work(database.dsn(), jobs), "River"));
    queue.Refill(jobs);
    ours = std::max(ours, queue.ClaimAndCompleteAll(jobs, 2, 200));
  }
  Print("queue.river_jobs_per_second", theirs, "jobs/s");
  Print("queue.jobs_per_second", ours, "jobs/s");
  Print("queue.ratio_river", ours / theirs, "x");
}

int Run(int argc, char** argv) {
  CLI::App app("The queue's benchmark");
  int64_t rows = 1'000'000, jobs = 50'000;
  std::vector<std::string> only;
  std::string poll;
  int workers = 0;
  app.add_option("--rows", rows, "queued rows of the deep queue");
  app.add_option("--jobs", jobs, "jobs of the claims and of the comparison with River");
  app.add_option("--only", only, "parts to run: claims, pairs, depth, start, idle, river");
  app.add_option("--poll", poll, "internal: be workers that wait at this address");
  app.add_option("--workers", workers, "internal: so many of them");
  CLI11_PARSE(app, argc, argv);
  if (!poll.empty()) return Poll(poll, workers);
  const auto wanted = [&](const char* part) {
    return only.empty() || std::find(only.begin(), only.end(), part) != only.end();
  };
  if (wanted("claims")) Claims(jobs);
  if (wanted("pairs")) Pairs();
  if (wanted("start")) Start();
  if (wanted("idle")) Idle(argv[0]);
  if (wanted("river")) River(jobs);
  if (wanted("depth")) Depth(rows);
  return 0;
}

}  // namespace
}  // namespace crossover::bench

int main(int argc, char** argv) { return crossover::bench::Run(argc, argv); }
