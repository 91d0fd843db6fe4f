// The job resource as the domain sees it: plain values, no behaviour. What may happen to a job is
// in job_machine.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "services/training_scheduler/domain/job_spec.h"
#include "services/training_scheduler/domain/worker_usage.h"

namespace crossover::scheduler {

using JobId = std::string;  // 26 characters, see common/id

enum class JobKind { kSft, kPreference, kDistil, kSweep, kExport, kScore };

enum class JobState {
  kValidating,
  kBlocked,
  kQueued,
  kRunning,
  kPausing,
  kPaused,
  kCancelling,
  kSucceeded,
  kFailed,
  kCancelled,
};

enum class ErrorClass {
  kUser,            // the request or the data is wrong: fails at once
  kPlatform,        // our fault: retried
  kInfrastructure,  // the machine's fault (disk, memory, network): retried
};

// UPPER_SNAKE_CASE, as in the protos and the database.
std::string_view Name(JobKind kind);
std::string_view Name(JobState state);
std::string_view Name(ErrorClass error_class);
std::string_view Name(ExportFormat format);
// "PEFT, GGUF_F16, …", for messages.
std::string ExportFormatNames();
std::string_view Name(Schedule schedule);
std::string_view Name(Packing packing);
std::string_view Name(LossOn loss_on);
std::string_view Name(ComputeType type);
std::string_view Name(Objective objective);  // as the job's kind that has it
std::optional<JobKind> ParseJobKind(std::string_view name);
std::optional<JobState> ParseJobState(std::string_view name);
std::optional<ErrorClass> ParseErrorClass(std::string_view name);
std::optional<ExportFormat> ParseExportFormat(std::string_view name);
std::optional<Schedule> ParseSchedule(std::string_view name);
std::optional<Packing> ParsePacking(std::string_view name);
std::optional<LossOn> ParseLossOn(std::string_view name);
std::optional<ComputeType> ParseComputeType(std::string_view name);
std::optional<Objective> ParseObjective(std::string_view name);
// Of a job that trains one adapter; of a SWEEP what its spec says.
Objective ObjectiveOf(JobKind kind, const JobSpec& spec);

struct JobError {
  ErrorClass error_class = ErrorClass::kPlatform;
  std::string reason;   // UPPER_SNAKE_CASE
  std::string message;  // what, where, and what to do
  std::string log_tail;
  std::string field;  // of the spec, or row of the data, that is to blame
};

struct Progress {
  int64_t step = 0;
  int64_t steps = 0;
  int64_t tokens = 0;
  double epoch = 0;
  double tokens_per_second = 0;
  std::optional<double> train_loss;
  std::optional<double> valid_loss;
  absl::Duration eta;  // 0 = unknown
  std::string phase;   // loading, training, evaluating, checkpointing, publishing
};

// Before the start (estimate) and after the end (actual).
struct Consumption {
  double seconds = 0;
  double seconds_lower = 0;  // estimate only: the range
  double seconds_upper = 0;
  int64_t tokens = 0;
  int64_t peak_memory_bytes = 0;
  double cost_usd = 0;  // 0 = no price is known
  double work = 0;      // estimate only: operations (forecaster.h); 0 = not known
  std::string basis;    // estimate only: what it rests on, in words
};

// What a worker needs to begin, by digest.
struct Inputs {
  std::string base_digest;
  std::string dataset_digest;  // artifact of the sealed version
  std::string adapter_digest;  // EXPORT, SCORE
  // Of the base model, for what the job will make.
  std::string architecture;
  std::string licence;
};

// What a worker must have to be given the job.
struct Requirements {
  std::string device;        // cpu or cuda; empty = any
  int64_t memory_bytes = 0;  // 0 = as estimated
  int32_t gang_size = 1;     // workers that train it together
};

struct Outputs {
  std::string adapter_digest;
  std::string artifact_digest;  // of what an EXPORT job wrote
  std::string report_digest;
  std::string model_version;  // resource name of the registered ModelVersion
  std::string model_alias;    // ft:{base}:{project}:{suffix}:{id8}
  int64_t trained_tokens = 0;
  int64_t bytes = 0;  // of the adapter or artifact; 0 = not known
};

// One of several workers that hold a lease together. Rank 0 leads: it alone records checkpoints and
// completes.
struct GangMember {
  int32_t rank = 0;
  std::string worker;
  std::string incarnation;
  std::string token_hash;
  absl::Time expire_time;
  std::optional<WorkerUsage> usage;  // as its last beat said
};

// Present ⇔ the job's state is leased.
struct LeaseRecord {
  std::string token_hash;  // DigestOf(secret)
  std::string worker;
  std::string incarnation;
  absl::Time grant_time;
  absl::Time expire_time;       // by the database's clock
  int64_t last_worker_seq = 0;  // of the last heartbeat applied
  // The holder is told to write a checkpoint and give the lease back: a more urgent job waits.
  bool asked_to_release = false;
  // Of a job that several workers share: all of them, by rank; worker, incarnation and token above
  // are rank 0's, and expire_time is the earliest of all. Empty for one worker alone.
  std::vector<GangMember> gang;
  std::optional<WorkerUsage> usage;  // of one worker alone, as its last beat said
  std::string rendezvous;            // host:port where rank 0 awaits the others
};

struct Job {
  JobId id;
  std::string project;
  std::string display_name;
  std::map<std::string, std::string> labels;
  JobKind kind = JobKind::kSft;
  JobSpec spec;
  ResolvedSpec resolved;
  Inputs inputs;
  std::string task;             // resource name, may be empty
  std::string base_model;       // slug of the base in the Model registry
  std::string dataset_version;  // resource name
  int32_t priority = 0;         // -100..100, higher first
  std::string queue = "default";
  std::optional<absl::Time> start_time;
  std::optional<absl::Time> deadline;
  std::vector<JobId> depends_on;
  int32_t max_failures = 3;
  Requirements requirements;
  int64_t needed_memory_bytes = 0;  // as required, else as estimated; 0 = not known

  JobState state = JobState::kValidating;
  std::string state_reason;
  int64_t lease_epoch = 0;
  int32_t failure_count = 0;
  int32_t lease_loss_count = 0;
  int64_t last_checkpoint_step = 0;  // 0 = none
  std::string last_checkpoint_digest;
  int64_t last_checkpoint_epoch = 0;    // lease epoch that recorded it
  int64_t checkpoint_step_at_loss = 0;  // both counts restart when a checkpoint passes it
  Progress progress;
  Consumption estimate;
  Consumption actual;
  Outputs outputs;
  std::optional<JobError> error;
  std::string log_tail;  // the last lines a worker sent
  std::string worker;    // that holds, or last held, the lease
  std::optional<LeaseRecord> lease;

  absl::Time create_time;
  absl::Time update_time;                // of anything but progress
  std::optional<absl::Time> run_time;    // of the first lease
  std::optional<absl::Time> ready_time;  // when it last became QUEUED
  // When it took its place in line, if that was before ready_time: the worker that had it was lost
  // or went away, and the job keeps its place.
  std::optional<absl::Time> line_time;
  std::optional<absl::Time> finish_time;
  int64_t last_event_sequence = 0;
  int64_t revision = 0;  // rises with every write, beats included
};

enum class EventType {
  kMessage,
  kMetrics,
  kStateChanged,
  kLeased,
  kLeaseExpired,
  kCheckpointRecorded,
  kAttemptFailed,
  kVerb,
  kResolved,
  kOverfitting,
  kTrialEnded,
};
enum class EventLevel { kInfo, kWarn, kError };

std::string_view Name(EventType type);
std::string_view Name(EventLevel level);
std::optional<EventType> ParseEventType(std::string_view name);
std::optional<EventLevel> ParseEventLevel(std::string_view name);

// `sequence` and `time` are set by the store, under the job's row lock.
struct JobEvent {
  int64_t sequence = 0;
  absl::Time time;
  EventLevel level = EventLevel::kInfo;
  EventType type = EventType::kStateChanged;
  std::string message;
  std::string data;  // a JSON object as text, or empty
  int64_t epoch = 0;
  int64_t worker_seq =
      0;  // the worker's own number for it, unique within (job, epoch); 0 = not from a worker
};

// One step's figures. The store keeps one point a step: a later epoch replaces an earlier one's.
struct MetricPoint {
  int64_t step = 0;
  absl::Time time;
  int64_t epoch = 0;  // lease epoch
  std::map<std::string, double>
      values;  // train_loss, valid_loss, learning_rate, tokens_per_second …
};

struct Checkpoint {
  int64_t step = 0;
  std::string digest;          // folder with everything a resume needs
  std::string adapter_digest;  // PEFT folder at this step
  bool pinned = false;
  int64_t epoch = 0;
  absl::Time create_time;
  absl::Time update_time;  // recorded, pinned or unpinned last; set by the store
  std::map<std::string, double> metrics;
};

}  // namespace crossover::scheduler
