// Streams what happens to a job to whoever watches. A watcher costs an entry in a list, not a
// thread.
//
// A stream without a token begins with a snapshot, then carries every event from the first on; with
// a token it goes on after the item the token came with, without gap or repeat, for seven days. A
// snapshot follows every change, also of what the job waits for (waiting.h).
// Metrics are carried once per step and epoch: a worker that goes on from a checkpoint says the
// steps after it anew, and they are sent anew.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/job_store.h"
#include "services/training_scheduler/domain/watcher_list.h"

namespace crossover::scheduler {

struct WatchItem {
  std::variant<Job, JobEvent, MetricPoint> content;
  std::string resume_token;
};

// Where a watcher is. Its text form is the resume token.
struct WatchCursor {
  int64_t event_sequence = 0;  // of the last event sent
  int64_t metric_step = 0;     // of the last metric sent
  // The latest epoch that a metric was sent of; nullopt in tokens of before it was noted.
  std::optional<int64_t> metric_epoch = 0;
  absl::Time issued;
};
std::string FormatCursor(const WatchCursor& cursor);
// OUT_OF_RANGE RESUME_TOKEN_EXPIRED if it is older than seven days, or not a token.
absl::StatusOr<WatchCursor> ParseCursor(const std::string& token, absl::Time now);

// The stream's end. Called by one thread at a time.
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  // False: not now (the reader is slow); the same item is offered again later.
  virtual bool Send(const WatchItem& item) = 0;
  virtual bool Gone() = 0;
  virtual void End(absl::Status status) = 0;  // exactly once, unless Gone
};

// Thread-safe. Borrows jobs and clock.
class WatchHub {
 public:
  WatchHub(JobStore& jobs, Clock& clock) : jobs_(jobs), clock_(clock) {}

  // Checks the token, and adds the watcher; the next Pump serves it. NOT_FOUND without such a job.
  absl::Status Watch(const JobId& job, const std::string& resume_token,
                     std::shared_ptr<WatchSink> sink);

  // Sends everybody what is new. One call at a time. Returns whether anybody watches.
  bool Pump() {
    return watchers_.Pump([this](Watcher& watcher) { return Serve(watcher); });
  }

  // Ends all streams with UNAVAILABLE SERVER_DRAINING: clients resume elsewhere with their token.
  void Close() { watchers_.Close(); }

 private:
  struct Watcher {
    JobId job;
    WatchCursor cursor;
    int64_t revision = -1;                                 // of the last snapshot sent
    std::string reason;                                    // its state_reason
    absl::Duration explained = -absl::InfiniteDuration();  // when, by the steady clock
    std::shared_ptr<WatchSink> sink;
  };

  // False when the stream is over.
  bool Serve(Watcher& watcher);
  bool MayWaitForOthers(Watcher& watcher, const Job& job);
  // Adds what it waits for. All watchers share a look at the workers.
  absl::Status ExplainTo(Job& job);
  // Puts the cursor before the first point of a later epoch than it is in.
  absl::Status GoBack(Watcher& watcher, const Job& job);
  // At most a batch.
  absl::StatusOr<std::vector<MetricPoint>> NewPoints(Watcher& watcher, const Job& job);
  absl::StatusOr<bool> SendNews(Watcher& watcher, const Job& job);
  WatchItem Item(Watcher& watcher, std::variant<Job, JobEvent, MetricPoint> content);

  JobStore& jobs_;
  Clock& clock_;
  WatcherList<Watcher> watchers_;
  // Of Pump alone.
  std::vector<WorkerRecord> workers_;
  absl::Duration looked_ = -absl::InfiniteDuration();  // when, by the steady clock
};

}  // namespace crossover::scheduler
