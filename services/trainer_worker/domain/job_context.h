// What the parts of a running job share.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "absl/synchronization/mutex.h"
#include "common/blob/blob_store.h"
#include "common/log/logger.h"
#include "common/time/clock.h"
#include "llm/train/collective.h"
#include "services/trainer_worker/domain/lease_client.h"
#include "services/trainer_worker/domain/lease_keeper.h"
#include "services/trainer_worker/domain/train_engine.h"
#include "services/trainer_worker/domain/worker_metrics.h"

namespace crossover::worker {

// How this worker's part of a job ended. kFollowed: as one of a gang, of which rank 0 tells how it
// ended.
enum class Outcome { kCompleted, kFailed, kReleased, kLost, kFollowed };

// Where the worker is, for GetStatus. Thread-safe.
struct JobStatus {
  std::string job;          // the one that runs, or the one given back by a drain
  std::string loaded_base;  // digest of the base model in memory; "" = none
  int64_t step = 0;
  int64_t steps = 0;
  double tokens_per_second = 0;
  int64_t checkpoint_step = 0;
};
class StatusBoard {
 public:
  JobStatus Get() const {
    absl::MutexLock lock(&mutex_);
    return status_;
  }
  void Change(const std::function<void(JobStatus&)>& change) {
    absl::MutexLock lock(&mutex_);
    change(status_);
  }

 private:
  mutable absl::Mutex mutex_;
  JobStatus status_ ABSL_GUARDED_BY(mutex_);
};

// Meets the other processes that train a job; own_host is the joiner's to set. Errors as those of
// llm::JoinGloo.
using JoinGang =
    std::function<absl::StatusOr<std::shared_ptr<llm::Collective>>(llm::Rendezvous rendezvous)>;

// All borrowed, but for join.
struct WorkerDeps {
  LeaseClient& client;
  TrainEngine& engine;
  BlobStore& blobs;
  Clock& clock;
  Logger& logger;
  WorkerMetrics& metrics;
  StatusBoard& board;
  JoinGang join = {};  // empty: this worker trains alone
};

struct JobContext {
  WorkerDeps& deps;
  LeaseKeeper& keeper;
  const std::atomic<bool>& draining;
  std::filesystem::path folder;  // of this attempt alone; removed afterwards
  bool met = false;              // the others of a gang: they miss this one when it leaves

  const LeasedJob& job() const { return keeper.job(); }
};

// Why work on a job stops before its end.
// kHopeless: a trial of a sweep that the others have left behind.
enum class Stop { kNone, kEarly, kHopeless, kLost, kDrain, kPause, kCancel, kPreempt };

// What the scheduler or a drain asks for now. `checkpoint_asked` (may be null) is set when a
// checkpoint is.
Stop AskedToStop(JobContext& context, bool* checkpoint_asked);

// Makes the call again until its error is final (IsFinal) or the lease is no longer trusted. Ok,
// LEASE_LOST, or the call's own error.
absl::Status Insist(JobContext& context, const std::function<absl::Status()>& call);

// A folder artifact, stored and pinned for `holder` (pins.h).
absl::StatusOr<std::string> PutFolder(JobContext& context, std::string_view kind,
                                      const std::filesystem::path& folder,
                                      const std::string& holder);

// Lets a digest go. That it stays pinned is no reason to fail a job: it costs space, and is logged.
void Unpin(JobContext& context, const std::string& digest, const std::string& holder);

}  // namespace crossover::worker
