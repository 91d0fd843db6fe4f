// The queue as workers see it: through gRPC, to a whole scheduler.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/log/logger.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"

namespace crossover::bench {

class SchedulerUnderLoad {
 public:
  SchedulerUnderLoad();

  // Copies one created job until there are so many more that are QUEUED.
  void Fill(int64_t jobs);
  // LeaseJob and CompleteJob pairs a second of `clients` threads, for `time`.
  double Pairs(int clients, absl::Duration time);
  // Milliseconds from the call of CreateJob until a worker that waits has the job, one after
  // another with pauses.
  std::vector<double> SubmitToStart(int jobs);

  struct Idle {
    double cores = 0;      // processor time of this process over time
    int threads = 0;       // of this process while they wait
    int threads_more = 0;  // than before they came
  };
  // With so many workers parked, in another process (Poll).
  Idle IdleWorkers(int workers, absl::Duration time, const std::string& program);

 private:
  std::string CreateJob();

  std::unique_ptr<Logger> logger_;
  scheduler::SchedulerFixture fixture_;
  int64_t filled_ = 0;
};

// The other process of IdleWorkers: `workers` that lease again and again and get nothing. Prints
// "waiting" when all have called; ends with the process.
int Poll(const std::string& address, int workers);

}  // namespace crossover::bench
