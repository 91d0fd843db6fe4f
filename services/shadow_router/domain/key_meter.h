// What each key has used: requests and tokens of the minute, money of the day.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "services/shadow_router/domain/caller.h"

namespace crossover::router {

// Thread-safe. Of this process only, and from zero after a restart: several routers each allow the
// whole limit. Minutes are token buckets of the limit's size, so that there is no edge at which
// twice as much goes through. What a request is expected to use is reserved before the call and
// settled after it: requests at the same time don't slip past the limit together.
class KeyMeter {
 public:
  explicit KeyMeter(Clock& clock) : clock_(clock) {}

  struct Amount {
    int64_t tokens = 0;
    double usd = 0;
  };

  // RESOURCE_EXHAUSTED `RATE_LIMITED`, with metadata `retry_after_seconds`.
  absl::Status TakeRequest(const Caller& caller);
  // RESOURCE_EXHAUSTED `RATE_LIMITED` or `BUDGET_EXCEEDED`, likewise. A request larger than the
  // whole limit is let through when nothing else has been used.
  absl::Status Reserve(const Caller& caller, const Amount& expected);
  // Replaces a reservation by what was used.
  void Settle(const Caller& caller, const Amount& expected, const Amount& used);

 private:
  // Holds at most `limit`, refilled by `limit` a minute; below zero after more was used than was
  // expected.
  struct Bucket {
    double level = 0;
    absl::Duration at = -absl::InfiniteDuration();
    void Refill(double limit, absl::Duration now);
    // Seconds until `level` reaches `wanted`.
    double Wait(double limit, double wanted) const;
  };
  struct Use {
    Bucket requests, tokens;
    int64_t day = -1;
    double spent_usd = 0;
  };
  Use& UseOf(const Caller& caller) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  absl::Mutex mutex_;
  std::map<std::string, Use> uses_ ABSL_GUARDED_BY(mutex_);  // Of keys with a limit, by name.
};

}  // namespace crossover::router
