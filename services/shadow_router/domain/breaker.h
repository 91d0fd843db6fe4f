// A circuit breaker: stop calling what keeps failing, and try again now and then.
#pragma once

#include <map>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/time/clock.h"

namespace crossover::router {

struct BreakerOptions {
  int failures_to_open = 5;                     // In a row.
  absl::Duration open_for = absl::Seconds(10);  // Then one trial call.
};

// Thread-safe. Closed → open after `failures_to_open` failures in a row → half-open after
// `open_for`: one trial call decides.
class CircuitBreaker {
 public:
  CircuitBreaker(BreakerOptions options, Clock& clock) : options_(options), clock_(clock) {}

  // Whether a call may be made now. True while half-open for one caller only, until it reports.
  bool Allow();
  // The upstream has begun to answer: a trial has gone well so far and others may call, although
  // the whole answer may take minutes. Success, Failure or Unknown still follows; a failure opens
  // the breaker again.
  void Answering();
  void Success();
  void Failure();
  // The caller that was allowed did not find out (the client went away).
  void Unknown();

 private:
  const BreakerOptions options_;
  Clock& clock_;
  absl::Mutex mutex_;
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration open_until_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  bool trial_ ABSL_GUARDED_BY(mutex_) = false;
};

// One breaker per upstream name. Thread-safe; references stay valid.
class Breakers {
 public:
  Breakers(BreakerOptions options, Clock& clock) : options_(options), clock_(clock) {}
  CircuitBreaker& For(const std::string& upstream);

 private:
  const BreakerOptions options_;
  Clock& clock_;
  absl::Mutex mutex_;
  std::map<std::string, CircuitBreaker> breakers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::router
