// What must be true of a job in the end, however often the processes around it were killed: it
// finished once, and nothing that was acknowledged is lost or doubled. Asks the scheduler's public
// API alone.
#pragma once

#include <grpcpp/channel.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "crossover/scheduler/v1/job.pb.h"

namespace crossover::chaos {

// Counts of all tests of this process. At its end each that was used is printed as
// `chaos.NAME VALUE UNIT`.
struct Tally {
  int64_t worker_kills = 0;
  int64_t platform_kills = 0;
  int64_t postgres_kills = 0;
  int64_t jobs = 0;  // whose history was checked
  int64_t jobs_finished_twice = 0;
  int64_t events_lost = 0;
  int64_t events_doubled = 0;
};
Tally& TheTally();

class JobHistory {
 public:
  using Channel =
      std::function<std::shared_ptr<grpc::Channel>()>;  // to the scheduler that runs now

  JobHistory(Channel scheduler, std::string job)
      : scheduler_(std::move(scheduler)), job_(std::move(job)) {}

  // Notes every event that can be read now: each must be in the final history, unchanged. To be
  // called before a kill.
  void Note();

  // Adds failures to the running test and counts to the tally. `steps` is the job's length,
  // `losses` the leases that ended by a death.
  void ExpectOneCleanLife(int64_t steps, int losses);

 private:
  using Event = scheduler::v1::JobEvent;

  std::vector<Event> Events();
  void CheckSequence(const std::vector<Event>& events);
  void CheckOutcome(const std::vector<Event>& events, int64_t epochs, int losses);
  void CheckWorkersEvents(const std::vector<Event>& events);
  void CheckMetrics(int64_t steps);
  void CheckModel(const std::string& adapter);

  const Channel scheduler_;
  const std::string job_;
  std::map<int64_t, std::string> noted_;  // by sequence
};

}  // namespace crossover::chaos
