// What a person asks for (JobSpec, absent = "auto"), and what will be done (ResolvedSpec: every
// number frozen).
//
// Resolution is a pure function of the spec and of facts about base model and data set. Every
// resolved number carries where it came from, so that `crossover tune` can print "learning
// rate 8.0e-04 (given), rank 16 (auto: start with 16 …)".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/status/error.h"
#include "services/training_scheduler/domain/adapter_form.h"
#include "services/training_scheduler/domain/techniques.h"

namespace crossover::scheduler {

enum class ExportFormat {
  kPeft,
  kGgufF16,
  kGgufQ8_0,
  kSafetensors,
  kGgufAdapter,
  kGgufBf16,
  kGgufQ4_0,
  kGgufQ4_K_M,
  kGgufQ5_K_M,
  kGgufQ6_K,
};
enum class Schedule { kConstant, kLinear, kCosine, kWsd };
enum class Packing { kNone, kRows, kSharedPrefix };
enum class LossOn { kLastAssistant, kAllAssistants, kAllTokens };
enum class ComputeType { kBfloat16, kFloat32 };
enum class Objective { kSupervised, kPreference, kDistil };

// Absent fields are "auto". Paths in violations are those of the proto: spec.training.adapter.r and
// so on.
struct TrainingSpec {
  std::optional<int64_t> rank;       // adapter.r, 1..512
  std::optional<double> alpha;       // adapter.alpha, > 0, at most 4096
  std::vector<std::string> targets;  // empty = all seven linears
  std::optional<bool> rank_stabilised;
  std::optional<double> learning_rate;             // > 0, at most 1
  std::optional<double> learning_rate_multiplier;  // > 0, at most 100; ignored with learning_rate
  std::optional<Schedule> schedule;
  std::optional<int64_t> warmup_steps;  // >= 0
  std::optional<double> warmup_ratio;   // 0..1; ignored with warmup_steps
  std::optional<int64_t> batch_size;    // rows a step, 1..256
  std::optional<double> epochs;         // > 0, at most 50
  std::optional<int64_t> max_steps;     // >= 0; 0 = as epochs say
  std::optional<int64_t> max_length;    // longest row in tokens, 16..context length
  std::optional<int64_t> seed;          // 0..2147483647
  std::optional<Packing> packing;
  std::optional<int64_t> checkpoint_every;  // steps, >= 1
  std::optional<int64_t> eval_every;        // steps, >= 1
  std::string suffix;                       // 1..64 characters (suffix.h)
  std::string template_date;                // YYYY-MM-DD
  std::optional<LossOn> loss_on;
  std::optional<ComputeType> compute_type;
  std::optional<double> weight_decay;                // 0..1
  std::optional<double> adam_beta1;                  // 0..1
  std::optional<double> adam_beta2;                  // 0..1
  std::optional<double> adam_epsilon;                // > 0, at most 1
  std::optional<double> max_grad_norm;               // 0..1000; 0 = off
  std::optional<int64_t> early_stop_patience;        // validations without gain, 0 = never
  std::optional<double> validation_fraction;         // 0..0.5
  std::optional<int64_t> max_rows;                   // 0 = all, else >= 10
  std::optional<int64_t> tokens_per_sequence;        // 64..1048576
  std::string initial_adapter;                       // digest of an adapter or checkpoint
  std::optional<double> preference_beta;             // PREFERENCE: > 0, at most 2
  std::optional<double> preference_label_smoothing;  // PREFERENCE: 0..0.49
  std::optional<double> distil_weight;               // DISTIL: 0..1
  std::optional<double> kl_weight;                   // SFT, DISTIL: 0..10
  std::string teacher_logits;                        // only empty
  TechniqueSpec techniques;
};

struct ExportSpec {
  std::string adapter;  // digest, alias or resource name
  std::optional<ExportFormat> format;
};

// One field of TrainingSpec and the values that a sweep tries.
struct SweepAxis {
  std::string field;                // path in the proto, such as "adapter.r"
  std::vector<std::string> values;  // JSON text
};

struct SweepSpec {
  std::vector<SweepAxis> axes;
  int64_t max_trials = 0;   // 0 = all of the grid
  int64_t parallelism = 0;  // only 0 and 1
  std::optional<Objective> objective;
  std::optional<bool> median_stop;
};

struct JobSpec {
  TrainingSpec training;    // SFT, PREFERENCE, DISTIL; of a SWEEP what all trials share
  SweepSpec sweep;          // SWEEP
  ExportSpec model_export;  // EXPORT
};

// Where a resolved number came from.
struct Source {
  bool given = false;
  std::string rule;  // for auto: the rule in words
};

struct ResolvedTrial;

struct ResolvedSpec {
  Objective objective = Objective::kSupervised;
  int64_t rank = 0;
  double alpha = 0;
  std::vector<std::string> targets;
  bool rank_stabilised = false;
  double learning_rate = 0;
  Schedule schedule = Schedule::kCosine;
  int64_t warmup_steps = 0;
  int64_t batch_size = 0;
  double epochs = 0;
  int64_t max_steps = 0;  // 0 = as epochs say
  int64_t max_length = 0;
  int64_t seed = 0;
  Packing packing = Packing::kSharedPrefix;
  int64_t checkpoint_every = 0;
  int64_t eval_every = 0;
  std::string suffix;         // its slug (suffix.h)
  std::string template_date;  // YYYY-MM-DD, for chat templates that print today's date
  std::optional<LossOn>
      loss_on;  // absent: by the rows (last assistant for single-turn rows, else all)
  ComputeType compute_type = ComputeType::kBfloat16;
  double weight_decay = 0;
  double adam_beta1 = 0;
  double adam_beta2 = 0;
  double adam_epsilon = 0;
  double max_grad_norm = 0;
  int64_t early_stop_patience = 0;
  double validation_fraction = 0;
  int64_t max_rows = 0;  // 0 = all
  int64_t tokens_per_sequence = 0;
  std::string initial_adapter;
  ResolvedTechniques techniques;
  double preference_beta = 0;
  double preference_label_smoothing = 0;
  double distil_weight = 0;
  double kl_weight = 0;
  int64_t steps = 0;  // of a sweep: of all trials
  int64_t train_rows = 0;
  int64_t validation_rows = 0;
  std::string tokenizer_digest;
  std::string template_digest;
  ExportFormat export_format = ExportFormat::kPeft;
  std::map<std::string, Source> sources;  // by field name, as in the proto
  bool median_stop = false;               // SWEEP
  std::vector<ResolvedTrial> trials;      // SWEEP, in the order in which they run
};

// One point of a sweep's grid.
struct ResolvedTrial {
  std::map<std::string, std::string> values;  // JSON text by field
  ResolvedSpec spec;
};

// What resolution must know about the base model and the adapter to go on from.
struct BaseFacts {
  std::string digest;        // sha256:… of the GGUF file
  std::string architecture;  // llama, qwen2 …
  int64_t hidden_size = 0;
  int64_t context_length = 0;
  int64_t parameters = 0;
  std::string tokenizer_digest;
  std::string template_digest;
  std::string initial_adapter;              // digest of the adapter to go on from; "" = a fresh one
  std::optional<AdapterForm> initial_form;  // of it; absent: not known
};

// What resolution must know about a sealed data set version.
struct DatasetFacts {
  std::string artifact_digest;
  int64_t train_rows = 0;
  int64_t validation_rows = 0;
  int64_t test_rows = 0;
  int64_t content_bytes = 0;  // of the train split's text; 0 = unknown
};

// The fewest rows a training job takes.
inline constexpr int64_t kMinTrainRows = 10;

// Every field of `spec` that is out of its range, named by its path in the proto, with what would
// be right. What another objective takes counts as out of range.
std::vector<FieldViolation> CheckRanges(const TrainingSpec& spec,
                                        Objective objective = Objective::kSupervised);

// The date that chat templates print if nobody names one: llm::ChatTemplateOptions' (a test in room
// forecast compares them). Never the clock's: an adapter would be trained on another prompt than it
// is served with.
inline constexpr char kDefaultTemplateDate[] = "2024-07-26";

// Requires CheckRanges(spec, objective).empty() and data.train_rows >= kMinTrainRows.
ResolvedSpec Resolve(const TrainingSpec& spec, const BaseFacts& base, const DatasetFacts& data,
                     Objective objective = Objective::kSupervised);

}  // namespace crossover::scheduler
