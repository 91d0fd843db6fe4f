// Where jobs live.
//
// A store moves bytes, and the domain decides: Update() runs a function from job_machine.h on the
// job under its row lock and writes job and effects in one transaction, with event sequences that
// have no gaps. The store's clock (the database's) is the only one that decides what has expired.
// Implementations: PgJobStore, FakeJobStore; both pass JobStoreConformance.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/training_scheduler/domain/job.h"
#include "services/training_scheduler/domain/job_machine.h"
#include "services/training_scheduler/domain/lease.h"
#include "services/training_scheduler/domain/request_key.h"
#include "services/training_scheduler/domain/worker_record.h"

namespace crossover::scheduler {

struct JobFilter {
  std::vector<JobState> states;  // empty = all
  std::optional<JobKind> kind;
  std::string task;
  std::string base_model;
  std::string dataset_version;
  std::string queue;
  std::string adapter;  // digest that the job made
  std::map<std::string, std::string> labels;
};

struct JobQuery {
  std::string project;
  JobFilter filter;
  bool oldest_first = false;  // default: newest first
  JobId after;                // keyset: the last id of the page before
  int64_t limit = 50;
};

struct ClaimRequest {
  std::string worker;
  std::string incarnation;
  Capabilities capabilities;
  absl::Duration ttl;
  // One for each job that may be claimed: DigestOf(secret).
  std::vector<std::string> token_hashes;
  std::string project;  // whose jobs it may have; empty = all
};

// What a store knew of a worker before it asked for work.
enum class WorkerLife {
  kSame,      // this incarnation, or nothing
  kNew,       // another incarnation: the process was started anew
  kReplaced,  // a later incarnation than this one: two processes share the name
};

struct QueueDepth {
  JobState state = JobState::kQueued;
  std::string queue;
  int64_t jobs = 0;
  absl::Duration oldest;  // of QUEUED jobs: how long the oldest has been ready
};

// How fast jobs on one base model were, from those that succeeded; sweeps left out.
struct MeasuredRate {
  int64_t jobs = 0;
  double tokens_per_second = 0;        // of all together
  double tokens_per_second_lower = 0;  // slowest and fastest job
  double tokens_per_second_upper = 0;
  double tokens_per_row = 0;  // mean, in one epoch
  // The same in forecast operations a second (forecaster.h), of the share of the steps that ran; 0
  // = no job had a forecast.
  double work_per_second = 0;
  double work_per_second_lower = 0;
  double work_per_second_upper = 0;
};

// Thread-safe. UNAVAILABLE when the database cannot be reached; NOT_FOUND RESOURCE_NOT_FOUND for an
// id that does not exist.
class JobStore {
 public:
  // Runs on the locked job. An error rolls everything back. May run more than once.
  using Mutation = std::function<absl::Status(Job& job, absl::Time now, Effects& effects)>;

  virtual ~JobStore() = default;

  // Stores `job` with create_time = now and its first event. If `key` was used before in the
  // project: the stored job when the payload was equal, INVALID_ARGUMENT REQUEST_ID_REUSED when
  // not. `mutation` runs on the new job only.
  virtual absl::StatusOr<Job> Insert(const Job& job, const RequestKey& key,
                                     const Mutation& mutation) = 0;

  // The job that Insert stored under this key; nullopt if there is none, REQUEST_ID_REUSED if the
  // payload was another one.
  virtual absl::StatusOr<std::optional<Job>> FindCreated(const std::string& project,
                                                         const RequestKey& key) = 0;

  virtual absl::StatusOr<Job> Get(const JobId& id) = 0;
  virtual absl::StatusOr<std::vector<Job>> List(const JobQuery& query) = 0;
  virtual absl::StatusOr<Job> Update(const JobId& id, const Mutation& mutation) = 0;
  // Update, once per key of the job's project: a repeat gives the job as it is now, another payload
  // is REQUEST_ID_REUSED. A mutation that fails leaves the key unused.
  virtual absl::StatusOr<Job> UpdateOnce(const JobId& id, const RequestKey& key,
                                         const Mutation& mutation) = 0;

  // Moves up to token_hashes.size() QUEUED jobs that fit the capabilities to RUNNING, first in rank
  // first, and returns them with their leases. Two callers never get the same job. Empty = nothing
  // to do. Metric points above a job's resume point go: the new epoch says them anew.
  virtual absl::StatusOr<std::vector<Job>> Claim(const ClaimRequest& request) = 0;

  // Jobs that the housekeeper should look at, in this order, the oldest of each first: leases that
  // have run out, deadlines that have passed, BLOCKED jobs that wait for nothing any more (or whose
  // dependency failed), VALIDATING jobs. Those that a look cannot move come last, so that they keep
  // none of the others waiting.
  virtual absl::StatusOr<std::vector<JobId>> Due(int64_t limit) = 0;
  virtual absl::StatusOr<std::vector<JobId>> LeasedBy(const std::string& worker,
                                                      const std::string& incarnation) = 0;

  // Events with sequence > `after`, ascending.
  virtual absl::StatusOr<std::vector<JobEvent>> Events(const JobId& id, int64_t after,
                                                       int64_t limit) = 0;
  // Points with step > `after`, ascending, every n-th by position counted from the first point of
  // all.
  virtual absl::StatusOr<std::vector<MetricPoint>> Metrics(const JobId& id, int64_t after,
                                                           int64_t every_nth, int64_t limit) = 0;
  // Ascending by step.
  virtual absl::StatusOr<std::vector<Checkpoint>> Checkpoints(const JobId& id) = 0;

  // Number of QUEUED jobs of the same queue that would be claimed before it, plus one; 0 unless
  // QUEUED.
  virtual absl::StatusOr<int64_t> QueuePosition(const Job& job) = 0;
  virtual absl::StatusOr<std::vector<QueueDepth>> Depths() = 0;
  virtual absl::StatusOr<MeasuredRate> Rate(const std::string& base_digest) = 0;

  // True if a job of the project made this digest: an output or a checkpoint.
  virtual absl::StatusOr<bool> RefersTo(const std::string& project, const std::string& digest) = 0;
  virtual absl::StatusOr<Checkpoint> PinCheckpoint(const JobId& id, int64_t step, bool pinned) = 0;
  // Removes the checkpoints that Prune (kept_checkpoints.h) names; returns the released digests.
  virtual absl::StatusOr<std::vector<std::string>> PruneCheckpoints(const JobId& id) = 0;

  // Remembers that the worker has asked for work, unless a later life has replaced this one.
  virtual absl::StatusOr<WorkerLife> SawWorker(const WorkerRecord& worker) = 0;
  // By name, those after `after`.
  virtual absl::StatusOr<std::vector<WorkerRecord>> Workers(const std::string& after,
                                                            int64_t limit) = 0;

  // Runs `pass` if no other scheduler runs one now: housekeeping needs to be done by one only. (It
  // is safe with several.)
  virtual absl::Status AsLeader(const std::function<absl::Status()>& pass) = 0;
};

}  // namespace crossover::scheduler
