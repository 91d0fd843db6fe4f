// What a worker is asked to do and what it says about it. Plain values; the wire form is the
// transport's business.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace crossover::worker {

enum class Schedule { kConstant, kLinear, kCosine, kWsd };
enum class InitialAdapter { kUniform, kPissa };
// kAuto: by the memory that is left.
enum class ActivationPolicy { kAuto, kKeep, kRecompute };
enum class Packing { kNone, kRows, kSharedPrefix };
enum class LossOn { kByRow, kLastAssistant, kAllAssistants, kAllTokens };
// kAuto: bfloat16 where the processor multiplies it, else 32-bit float.
enum class ComputeType { kAuto, kBfloat16, kFloat32 };
enum class Objective { kSupervised, kPreference, kDistil };
enum class ExportFormat {
  kPeft,
  kGgufF16,
  kGgufBf16,
  kGgufQ8_0,
  kGgufQ4_0,
  kGgufQ4_K_M,
  kGgufQ5_K_M,
  kGgufQ6_K,
  kGgufAdapter,
  kSafetensors,
};

// What goes beyond plain LoRA with AdamW.
struct Techniques {
  double dropout = 0;
  std::vector<int> layers;  // by index; empty = all
  std::map<std::string, int64_t> rank_pattern;
  std::map<std::string, double> alpha_pattern;
  bool dora = false;
  InitialAdapter initial = InitialAdapter::kUniform;
  double decay_share = 0.2;
  double lora_plus_ratio = 1;
  double embedding_noise = 0;
  ActivationPolicy activations = ActivationPolicy::kAuto;
};

// Every number of a training, as the scheduler froze it.
struct TrainPlan {
  Objective objective = Objective::kSupervised;
  double preference_beta = 0.1;
  double label_smoothing = 0;
  double distil_weight = 0.5;
  double kl_weight = 0;
  int64_t rank = 16;
  double alpha = 32;
  bool rank_stabilised = false;
  std::vector<std::string> targets;  // q_proj …
  double learning_rate = 0;
  Schedule schedule = Schedule::kCosine;
  int64_t warmup_steps = 0;
  int64_t batch_size = 8;
  double epochs = 1;
  int64_t max_steps = 0;  // 0 = as epochs say
  int64_t max_length = 2048;
  int64_t seed = 0;
  Packing packing = Packing::kSharedPrefix;
  int64_t tokens_per_sequence = 2048;
  LossOn loss_on = LossOn::kByRow;
  ComputeType compute_type = ComputeType::kAuto;
  double weight_decay = 0;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-8;
  double max_grad_norm = 1;
  int64_t max_rows = 0;             // 0 = all
  double validation_fraction = 0;   // of the train rows, when the version has no validation split
  int64_t checkpoint_every = 50;    // steps
  int64_t eval_every = 50;          // steps
  int64_t early_stop_patience = 0;  // 0 = never
  std::string template_date;        // YYYY-MM-DD
  Techniques techniques;
  int64_t steps = 0;  // that the scheduler counted; 0 = not known
};

// One training of a sweep.
struct Trial {
  std::map<std::string, std::string> values;  // the grid's, JSON text by field
  TrainPlan plan;
};

// Trainings over a grid, one after another.
struct SweepPlan {
  std::vector<Trial> trials;  // empty: the job is no sweep
  bool median_stop = true;
};

struct ExportPlan {
  ExportFormat format = ExportFormat::kPeft;
  std::string template_date;  // YYYY-MM-DD, that the adapter was trained with; "" = the library's
};

struct CheckpointRef {
  std::string digest;
  int64_t step = 0;
};

// This worker's place among those that train a job together.
struct GangPlace {
  int rank = 0;            // 0 leads
  int size = 1;            // 1: alone
  std::string rendezvous;  // host:port where rank 0 awaits the others
};

// A job and the lease to run it.
struct LeasedJob {
  std::string name;  // projects/p/jobs/id
  bool is_export = false;
  TrainPlan train;
  SweepPlan sweep;  // if it has trials, `train` is not used
  ExportPlan model_export;
  std::string base_digest;
  std::string dataset_digest;
  std::string adapter_digest;     // EXPORT; of a training: the adapter to go on from, or empty
  std::string resume_checkpoint;  // digest, or empty
  int64_t resume_step = 0;
  std::vector<CheckpointRef> earlier_checkpoints;  // before that one, the latest first

  GangPlace gang;
  std::string token;
  int64_t epoch = 0;
  absl::Duration ttl;
  absl::Duration heartbeat_interval;
  absl::Duration granted_at;  // steady time before the call that brought the lease
  int64_t next_seq = 1;
};

// Those the job may go on from, the latest first.
inline std::vector<CheckpointRef> CheckpointsOf(const LeasedJob& job) {
  std::vector<CheckpointRef> checkpoints;
  if (!job.resume_checkpoint.empty())
    checkpoints.push_back({job.resume_checkpoint, job.resume_step});
  checkpoints.insert(checkpoints.end(), job.earlier_checkpoints.begin(),
                     job.earlier_checkpoints.end());
  return checkpoints;
}

struct Progress {
  int64_t step = 0;
  int64_t steps = 0;
  int64_t tokens = 0;
  double epoch = 0;
  double tokens_per_second = 0;
  std::optional<double> train_loss;
  std::optional<double> valid_loss;
  absl::Duration eta;
  std::string phase;
};

enum class Level { kInfo, kWarn, kError };

enum class EventType { kMessage, kOverfitting, kTrialEnded };

struct Event {
  int64_t seq = 0;
  Level level = Level::kInfo;
  std::string message;
  EventType type = EventType::kMessage;
  std::string data;  // a JSON object as text, or empty
};

// Metrics of a step by the names of scheduler.v1.MetricPoint (train_loss, learning_rate …).
struct Metric {
  int64_t step = 0;
  absl::Time time;
  std::map<std::string, double> values;
};

// What one heartbeat carries. The same `seq` means the same content.
struct Report {
  int64_t seq = 0;
  Progress progress;
  std::vector<Event> events;
  std::vector<Metric> metrics;
  std::vector<std::string> log_lines;
  int64_t peak_memory_bytes = 0;
};

enum class Directive { kContinue, kCheckpoint, kPause, kCancel, kRelease };

struct BeatReply {
  Directive directive = Directive::kContinue;
  absl::Duration ttl;
  int64_t accepted_seq = 0;
};

enum class ErrorClass { kUser, kPlatform, kInfrastructure };

struct Failure {
  ErrorClass error_class = ErrorClass::kPlatform;
  std::string reason;
  std::string message;
};

// How a job ended. `failure` absent = success.
struct Ending {
  std::optional<Failure> failure;
  std::string adapter_digest;
  std::string report_digest;    // SWEEP
  std::string artifact_digest;  // EXPORT
  int64_t trained_tokens = 0;
  double seconds = 0;
  int64_t tokens = 0;
  int64_t peak_memory_bytes = 0;
};

// kCrashed: this one of a gang failed before the others could miss it; the job lost a lease.
enum class ReleaseReason { kDrain, kPreempted, kPaused, kCancelled, kCrashed };

}  // namespace crossover::worker
