// The queue at the store: a database with many ready jobs, and how fast they are claimed and
// completed there.
#pragma once

#include <memory>
#include <vector>

#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/log/logger.h"
#include "common/testing/pg_fixture.h"
#include "services/training_scheduler/storage/pg_job_store.h"

namespace crossover::bench {

class QueueDatabase {
 public:
  QueueDatabase();

  // Adds `jobs` QUEUED jobs, resolved as a real one is, and lets Postgres tidy up.
  void Fill(int64_t jobs);
  // As Fill, after all jobs there were have gone.
  void Refill(int64_t jobs);

  // Jobs a second that `threads` claim in `batch`es until none is left.
  double ClaimAll(int64_t jobs, int threads, int batch);
  // The same, and each batch is completed before the next.
  double ClaimAndCompleteAll(int64_t jobs, int threads, int batch);
  // Milliseconds of `claims` claims of one job each, one after another.
  std::vector<double> ClaimTimes(int claims);

 private:
  std::vector<scheduler::Job> Claim(int batch);
  // Runs `work` (jobs done; 0 = none left) in `threads` threads; jobs a second.
  double Drain(int64_t jobs, int threads, const std::function<int64_t()>& work);

  testing::PgDatabase database_;
  std::unique_ptr<pg::Pool> pool_;
  std::unique_ptr<Logger> logger_;
  scheduler::PgJobStore store_;
  UuidGenerator ids_{SystemClock(), SystemRandom()};
  int64_t filled_ = 0;
};

}  // namespace crossover::bench
