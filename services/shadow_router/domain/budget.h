// What a day's mirroring may cost.
#pragma once

#include <map>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "services/shadow_router/domain/experiment.h"

namespace crossover::router {

// Thread-safe. Days are UTC. The budget is asked before a call with what the call is expected to
// use, and settled with what it used, so that calls in flight count.
class BudgetMeter {
 public:
  explicit BudgetMeter(Clock& clock) : clock_(clock) {}

  struct Amount {
    int64_t tokens = 0;
    double cost_usd = 0;
  };

  // False if the day's budget of `experiment` does not hold `expected` any more.
  bool Reserve(const std::string& experiment, const Budgets& budgets, const Amount& expected);
  // Replaces a reservation by what was used.
  void Settle(const std::string& experiment, const Amount& expected, const Amount& used);

  Amount SpentToday(const std::string& experiment);

 private:
  struct Day {
    int64_t number = -1;
    Amount spent;
  };
  Day& Today(const std::string& experiment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  absl::Mutex mutex_;
  std::map<std::string, Day> days_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::router
