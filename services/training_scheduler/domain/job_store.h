// Where jobs live.
//
// A store moves bytes, and the domain decides: Update() runs a function from job_machine.h on the
// job and writes job and effects in one transaction, with event sequences that have no gaps, as if
// nobody else wrote the job meanwhile. The store's clock (the database's) is the only one that
// decides what has expired.
// Implementations: PgJobStore, FakeJobStore; both pass JobStoreConformance.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
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

// Who gets one of the jobs that are claimed.
struct Claimant {
  std::string worker;
  std::string incarnation;
  std::string token_hash;          // DigestOf(secret)
  std::string rendezvous;          // host:port where it would lead a gang; empty = it cannot
  std::vector<std::string> bases;  // digests of the base models that it has in memory
  // Of ClaimGang:
  int64_t memory_bytes = 0;  // 0 = not known: every job fits
  int32_t gang = 0;          // most workers it trains together with; 0 = not known: any
  std::vector<ComputeType> compute_types;  // as Capabilities'
};

// A claim for several workers that take the same jobs.
struct ClaimRequest {
  Capabilities capabilities;
  absl::Duration ttl;
  std::vector<Claimant> claimants;  // one for each job that may be claimed
  std::string project;              // whose jobs they may have; empty = all
};

// A job that waits, and one that runs in its place.
struct Preemption {
  JobId urgent;
  JobId running;
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

inline constexpr int64_t kMostCounted = 1000;  // by QueuePosition

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

// An adapter that a job made, at its end or at a checkpoint.
struct MadeAdapter {
  std::string digest;  // PEFT folder
  std::string base_digest;
};

// Runs on the job, on any thread while its caller waits. An error writes nothing. May run more than
// once, also on a job that turns out to have changed: only its last run counts.
using JobMutation = std::function<absl::Status(Job& job, absl::Time now, Effects& effects)>;

struct JobUpdate {
  JobId id;
  JobMutation mutation;
};

// Thread-safe. UNAVAILABLE when the database cannot be reached; NOT_FOUND RESOURCE_NOT_FOUND for an
// id that does not exist.
class JobStore {
 public:
  using Mutation = JobMutation;

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
  // Several updates of different jobs in one transaction, with a result each: a mutation that fails
  // leaves the others alone; what ends the transaction ends all.
  virtual std::vector<absl::StatusOr<Job>> UpdateAll(std::span<const JobUpdate> updates) = 0;
  // Update, once per key of the job's project: a repeat gives the job as it is now, another payload
  // is REQUEST_ID_REUSED. A mutation that fails leaves the key unused.
  virtual absl::StatusOr<Job> UpdateOnce(const JobId& id, const RequestKey& key,
                                         const Mutation& mutation) = 0;

  // Moves up to claimants.size() QUEUED jobs that fit the capabilities to RUNNING and returns them
  // with their leases: each to one claimant. Of one project the first in rank goes first, but for
  // what prefer_bases.h says; between projects the one that holds the fewest leases (fair shares).
  // None above its project's quota.
  // Two callers never get the same job. Empty = nothing to do. Metric points above a job's resume
  // point go: the new epoch says them anew.
  virtual absl::StatusOr<std::vector<Job>> Claim(const ClaimRequest& request) = 0;

  // Leases the first QUEUED job in rank that some of the claimants can share: all of it or nothing.
  // GangOf (gang.h) says which of them are its ranks. What they can hold is each claimant's own:
  // the request's memory and gang are not looked at. Empty = there is none.
  virtual absl::StatusOr<std::vector<Job>> ClaimGang(const ClaimRequest& request) = 0;

  // How many leases the project's jobs may hold at a time; nullopt = no quota. Leases that are held
  // already stay. Claims count what each project holds in their own transactions.
  virtual absl::Status SetQuota(const std::string& project, std::optional<int32_t> leases) = 0;

  // A QUEUED job of a priority above 0 that has been ready for `waited` or longer, and a RUNNING
  // one that is less urgent by `gap` points of priority or more, whose worker Claim would give to
  // the first if the second gave its lease back (not to a job with an earlier turn, the second one
  // itself included; never to a gang). Of several the first in rank; of those that run in its place
  // the least urgent, and of these the one leased last. nullopt if there is none, or if a RUNNING
  // job is asked to release its place already: one at a time.
  virtual absl::StatusOr<std::optional<Preemption>> FindPreemption(absl::Duration waited,
                                                                   int32_t gap) = 0;

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
  // QUEUED. At most kMostCounted are counted: of a long queue the rest would be read for each job
  // that is created or looked at.
  virtual absl::StatusOr<int64_t> QueuePosition(const Job& job) = 0;
  virtual absl::StatusOr<std::vector<QueueDepth>> Depths() = 0;
  virtual absl::StatusOr<MeasuredRate> Rate(const std::string& base_digest) = 0;

  // True if a job of the project made this digest: an output or a checkpoint.
  virtual absl::StatusOr<bool> RefersTo(const std::string& project, const std::string& digest) = 0;
  // Of the adapter that a job of the project made, or of a checkpoint of one (whose adapter it
  // gives) or its adapter; nullopt for any other digest.
  virtual absl::StatusOr<std::optional<MadeAdapter>> FindAdapter(const std::string& project,
                                                                 const std::string& digest) = 0;
  virtual absl::StatusOr<Checkpoint> PinCheckpoint(const JobId& id, int64_t step, bool pinned) = 0;
  // Removes the checkpoints that Prune (kept_checkpoints.h) names; returns the released digests.
  virtual absl::StatusOr<std::vector<std::string>> PruneCheckpoints(const JobId& id) = 0;

  // Remembers that the worker has asked for work, unless a later life has replaced this one.
  virtual absl::StatusOr<WorkerLife> SawWorker(const WorkerRecord& worker) = 0;
  // This life of the worker asks for no more; nothing happens if it is not the present one, or if
  // it first asked for the jobs of another project than `project` (empty = whoever it asked for).
  virtual absl::Status WorkerLeft(const std::string& name, const std::string& incarnation,
                                  const std::string& project) = 0;
  // By name, those after `after`. Not those that have left.
  virtual absl::StatusOr<std::vector<WorkerRecord>> Workers(const std::string& after,
                                                            int64_t limit) = 0;

  // Removes up to `limit` jobs that ended `age` ago or earlier, with all that was recorded of them;
  // one that another job may still wait for stays. Models they made stay. Returns how many.
  virtual absl::StatusOr<int64_t> RemoveEnded(absl::Duration age, int64_t limit) = 0;
  // Forgets request ids and workers that have not been heard of for `age`.
  virtual absl::Status Forget(absl::Duration age) = 0;

  // Runs `pass` if no other scheduler runs one now: housekeeping needs to be done by one only. (It
  // is safe with several.)
  virtual absl::Status AsLeader(const std::function<absl::Status()>& pass) = 0;
};

}  // namespace crossover::scheduler
