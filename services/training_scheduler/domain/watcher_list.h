// Those who watch streams that one thread serves. A watcher has a `sink` that takes its stream's
// end.
#pragma once

#include <list>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/status/error.h"

namespace crossover::scheduler {

// Thread-safe.
template <typename Watcher>
class WatcherList {
 public:
  // UNAVAILABLE SERVER_DRAINING once the list is closed.
  absl::Status Add(Watcher watcher) {
    absl::MutexLock lock(&mutex_);
    if (closed_) return Draining();
    watchers_.push_back(std::move(watcher));
    return absl::OkStatus();
  }

  // Serves everybody; false from `serve`: the stream is over. One call at a time. Returns whether
  // anybody watches on.
  bool Pump(absl::FunctionRef<bool(Watcher&)> serve) {
    std::list<Watcher> watchers;
    {
      absl::MutexLock lock(&mutex_);
      watchers.swap(watchers_);
    }
    std::list<Watcher> stay;
    for (Watcher& watcher : watchers) {
      if (serve(watcher)) stay.push_back(std::move(watcher));
    }
    const bool anybody = !stay.empty();
    {
      absl::MutexLock lock(&mutex_);
      if (!closed_) watchers_.splice(watchers_.begin(), stay);
    }
    for (Watcher& watcher : stay) watcher.sink->End(Draining());  // closed meanwhile
    return anybody;
  }

  // Ends all streams with UNAVAILABLE SERVER_DRAINING: clients resume elsewhere with their token.
  void Close() {
    std::list<Watcher> watchers;
    {
      absl::MutexLock lock(&mutex_);
      closed_ = true;
      watchers.swap(watchers_);
    }
    for (Watcher& watcher : watchers) watcher.sink->End(Draining());
  }

 private:
  static absl::Status Draining() {
    return Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING",
                 "the server is shutting down; watch again with the last resume_token");
  }

  absl::Mutex mutex_;
  std::list<Watcher> watchers_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace crossover::scheduler
