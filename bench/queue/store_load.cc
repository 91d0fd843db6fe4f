#include "bench/queue/store_load.h"

#include <atomic>
#include <thread>
#include <utility>

#include "bench/queue/job_copies.h"
#include "bench/queue/sampled.h"
#include "common/json/digest.h"
#include "services/training_scheduler/storage/embedded_sql.h"

namespace crossover::bench {
namespace {

using namespace scheduler;  // NOLINT(google-build-using-namespace): drives this room alone.

constexpr char kSecret[] = "00112233445566778899aabbccddeeff";

absl::Status Queue(Job& job, absl::Time now, Effects& effects) {
  Validated validated;
  validated.base_model = job.base_model;
  validated.inputs.base_digest = "sha256:base";
  validated.inputs.dataset_digest = "sha256:data";
  validated.resolved.steps = 100;
  return Accept(job, validated, Dependencies::kMet, now, effects);
}

JobUpdate Completion(const Job& job) {
  return {job.id, [token = LeaseToken{job.id, job.lease_epoch, kSecret}](Job& mine, absl::Time now,
                                                                         Effects& effects) {
            return Complete(mine, token, Outcome{}, RetryPolicy{}, now, effects);
          }};
}

}  // namespace

QueueDatabase::QueueDatabase()
    : database_({Migrations()}),
      pool_(database_.NewPool("scheduler")),
      logger_(NewJsonLogger({.service = "bench", .level = LogLevel::kError}, SystemClock())),
      store_(*pool_, *logger_) {}

void QueueDatabase::Fill(int64_t jobs) {
  Job job;
  job.id = ids_.NextId();
  job.project = "default";
  job.base_model = "base";
  job.dataset_version = "projects/default/datasets/d/versions/sha256:1";
  Must(store_.Insert(job, {}, &Queue), "insert");
  CopyJob(database_, filled_ + 1, filled_ + jobs - 1);
  filled_ += jobs;
}

void QueueDatabase::Refill(int64_t jobs) {
  database_.Execute("TRUNCATE scheduler.job, scheduler.job_event, scheduler.project_share CASCADE");
  Fill(jobs);
}

std::vector<Job> QueueDatabase::Claim(int batch) {
  static const std::string hash = DigestOf(kSecret);
  const ClaimRequest request{
      .capabilities = {},
      .ttl = absl::Seconds(30),
      .claimants = std::vector<Claimant>(static_cast<size_t>(batch), {"worker", "life", hash})};
  return Must(store_.Claim(request), "claim");
}

double QueueDatabase::Drain(int64_t jobs, int threads, const std::function<int64_t()>& work) {
  std::atomic<int64_t> done = 0;
  const absl::Duration begin = SystemClock().SteadyNow();
  std::vector<std::thread> pool;
  for (int i = 0; i < threads; ++i) {
    pool.emplace_back([&] {
      while (done < jobs) done += work();
    });
  }
  for (std::thread& thread : pool) thread.join();
  return static_cast<double>(done) / absl::ToDoubleSeconds(SystemClock().SteadyNow() - begin);
}

double QueueDatabase::ClaimAll(int64_t jobs, int threads, int batch) {
  return Drain(jobs, threads, [&] { return static_cast<int64_t>(Claim(batch).size()); });
}

double QueueDatabase::ClaimAndCompleteAll(int64_t jobs, int threads, int batch) {
  return Drain(jobs, threads, [&] {
    std::vector<JobUpdate> updates;
    for (const Job& job : Claim(batch)) updates.push_back(Completion(job));
    if (updates.empty()) return int64_t{0};
    for (const absl::StatusOr<Job>& job : store_.UpdateAll(updates)) {
      Must(job.status(), "complete");
      if (job->state != JobState::kSucceeded) Must(absl::InternalError("not done"), "complete");
    }
    return static_cast<int64_t>(updates.size());
  });
}

std::vector<double> QueueDatabase::ClaimTimes(int claims) {
  std::vector<double> times;
  for (int i = 0; i < claims; ++i) {
    const absl::Duration begin = SystemClock().SteadyNow();
    if (Claim(1).empty()) Must(absl::InternalError("no job is left"), "claim");
    times.push_back(absl::ToDoubleMilliseconds(SystemClock().SteadyNow() - begin));
  }
  return times;
}

}  // namespace crossover::bench
