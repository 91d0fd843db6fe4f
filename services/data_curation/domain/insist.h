// A database that restarts costs a run some waiting, not its work.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/time/clock.h"

namespace crossover::curation {

inline absl::Status StatusOf(const absl::Status& status) { return status; }
template <typename T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// Makes `call` again while it is UNAVAILABLE, until `give_up` says so; an empty one says so at
// once. `call` must do no harm when it runs twice: a connection that breaks during COMMIT is
// UNAVAILABLE as well.
template <typename Call>
auto Insist(Clock& clock, const std::function<bool()>& give_up, const Call& call) {
  constexpr absl::Duration kPause = absl::Milliseconds(200);
  while (true) {
    auto result = call();
    const bool away = StatusOf(result).code() == absl::StatusCode::kUnavailable;
    if (!away || !give_up || give_up()) return result;
    clock.SleepFor(kPause);
  }
}

}  // namespace crossover::curation
