// Trains a LoRA adapter of a frozen base model on rows of token ids.
//
// Torch-free: services include this header. One Trainer is used by one thread at a time; Run()
// computes on the calling thread and on OpenMP's workers below it, and its callback runs on the
// calling thread between two steps.
//
// What is trained: for each of the seven linear layers of a decoder block (or those in `targets`) y
// = W x + s B A x, with W frozen, A [r, in], B [out, r] in fp32, s = alpha / r (alpha / sqrt(r)
// with rsLoRA). What is minimised: over one optimizer step (a window of `batch_rows` ×
// `accumulation` rows)
//     sum_i w_i * -log p(ids[i] | ids[0..i-1])  /  sum_i w_i
// where w_i = row.weight * row.token_weights[i]. The division is by the whole window's sum, however
// the rows were packed. Other objectives: TrainConfig::objective.
//
// Deterministic: equal base model, config, rows and thread count give equal bytes, also across
// Checkpoint() and Resume().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/lora/target.h"
#include "llm/model/base_model.h"
#include "llm/train/collective.h"

namespace crossover::llm {

// The most likely tokens of a teacher at one place, most likely first, with their log-probabilities
// (natural). They need not add up to 1: the rest of the vocabulary shares what is missing.
struct TeacherToken {
  std::vector<int32_t> ids;
  std::vector<float> log_probabilities;  // At most kMaxLogProbability.
};

// A probability of 1, and what rounding may add.
inline constexpr float kMaxLogProbability = 1e-3F;

// One training example after the chat template and the tokenizer.
struct TrainRow {
  std::string id;                    // Named in errors ("loss of row … is not a number").
  std::vector<int32_t> ids;          // At least 2 tokens; at most TrainConfig::max_row_tokens.
  std::vector<float> token_weights;  // As many as ids: weight of predicting ids[i]; 0: context
                                     // only. [0] is never trained.
  float weight = 1;                  // Multiplies token_weights.
  // kPreference: the same prompt with the answer that was not preferred, as ids and weights above.
  std::vector<int32_t> rejected_ids;
  std::vector<float> rejected_weights;
  // kDistil: as many as ids; [i] is the teacher's distribution of ids[i], empty where not known.
  std::vector<TeacherToken> teacher;
};

// What is minimised (objective.h has the formulas).
enum class ObjectiveKind {
  kSupervised,  // Cross-entropy.
  kPreference,  // Direct preference optimisation against the base model (adapter off).
  kDistil,      // Cross-entropy and the divergence from a teacher.
};

enum class Schedule { kConstant, kLinear, kCosine, kWsd };

// A uniform and B zero, or PiSSA: the principal singular vectors of each layer
// (llm/lora/initial.h).
enum class InitialAdapter { kUniform, kPissa };

// Whether the backward pass computes activations again instead of keeping them: same bits, about a
// third more time, memory of one block instead of all.
enum class Recompute { kAuto, kNever, kAlways };

struct TrainConfig {
  // Adapter
  int rank = 16;
  double alpha = 32;
  bool rslora = false;
  std::vector<Target> targets{kAllTargets.begin(), kAllTargets.end()};
  std::vector<int> layers;  // By index; empty: all.
  // PEFT's: other ranks and alphas for the modules whose name ("model.layers.3.mlp.up_proj") or its
  // end after a dot matches the key, a regular expression. No two keys may match one module.
  std::vector<std::pair<std::string, int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
  bool dora =
      false;  // Learn each output's magnitude apart from its direction (llm/model/linear.h).
  // PiSSA's adapter has twice the rank: its start is taken away again, so that it fits the base as
  // it is.
  InitialAdapter initial = InitialAdapter::kUniform;
  // Against overfitting, both in training only.
  double dropout = 0;  // Share of an adapter's inputs; one mask for layers that share an input.
  double neftune = 0;  // Noise on embeddings (llm/model/noise.h); usual values are 5 to 15.
  // Schedule. rate(t) = learning_rate * min(1, (t+1)/warmup_steps) * decay(t/steps), t = 0, 1, …
  // steps-1; decay(x) = 1, 1-x, (1+cos(pi x))/2, or for kWsd (warm-up, stable, decay) 1 until the
  // last decay_share d of the steps and then 1 - sqrt((x-1+d)/d) (Hägele et al., arXiv:2405.18392).
  double learning_rate = 2e-4;
  Schedule schedule = Schedule::kCosine;
  int64_t warmup_steps = 5;
  double decay_share = 0.2;
  double epochs = 1;
  int64_t max_steps = 0;  // Over 0: replaces epochs.
  int batch_rows = 8;
  int accumulation = 1;  // Windows of batch_rows rows in one optimizer step.
  bool shuffle = true;   // Every epoch in an own order drawn from seed; false: the order given.
  uint64_t seed = 0;
  // AdamW (decoupled weight decay), clipping of the global L2 norm (0: none)
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double max_gradient_norm = 1.0;
  double b_rate = 1;  // LoRA+: B learns at so many times learning_rate (optimizer.h).
  // Objective
  ObjectiveKind objective = ObjectiveKind::kSupervised;
  double preference_beta = 0.1;  // kPreference
  double label_smoothing = 0;    // kPreference: probability that a pair's order is wrong.
  double distil_weight = 0.5;    // kDistil: the teacher's share of the loss, 0 … 1.
  double kl_weight = 0;          // But kPreference: weight of KL(base || adapter).
  // Execution
  int64_t max_row_tokens = 8192;  // A longer row is an error, never cut in silence.
  // Activations live for one pack at a time; a window with more tokens than this is computed in
  // several packs (same result up to rounding). A row longer than this is a pack of its own.
  int64_t max_pack_tokens = 2048;
  // Compute a prefix that all rows of a pack share once (same result up to rounding). Shorter
  // prefixes are not worth it.
  bool share_prefix = true;
  int64_t min_shared_prefix = 16;
  // kAuto: when the activations of the largest pack would take more than activation_bytes; 0: half
  // of what the machine has left.
  Recompute recompute = Recompute::kAuto;
  int64_t activation_bytes = 0;
};

// What an objective says beside its loss. Means over pairs or trained tokens; 0 where they do not
// apply.
struct ObjectiveReport {
  double reward_margin = 0;    // kPreference: beta * (log-ratio preferred - log-ratio rejected).
  double reward_accuracy = 0;  // kPreference: share of pairs with a margin above 0.
  double kl_to_base = 0;       // With kl_weight, nats.
  double teacher_kl = 0;       // kDistil, nats.
};

// After one optimizer step.
struct StepReport {
  int64_t step = 0;  // 1 … steps.
  int64_t steps = 0;
  double epoch = 0;  // Epochs completed, fractional.
  // Weighted mean over the window: nats per token (the cross-entropy alone), or per pair
  // (kPreference).
  double loss = 0;
  double learning_rate = 0;
  double gradient_norm = 0;  // Before clipping.
  int64_t tokens = 0;  // Tokens of all rows of this step (a shared prefix counts once per row).
  int64_t computed_tokens = 0;   // Tokens that went through the model.
  int64_t trained_tokens = 0;    // Tokens with a weight.
  int64_t tokens_seen = 0;       // Sum of `tokens` since step 1, also over a resume.
  double seconds = 0;            // Wall time of this step.
  double tokens_per_second = 0;  // tokens / seconds.
  ObjectiveReport objective;
};

enum class StepDecision { kContinue, kStop };

// May call SaveCheckpoint(), Evaluate() and ExportAdapter() of the same trainer.
using StepCallback = std::function<StepDecision(const StepReport&)>;

struct TrainOutcome {
  int64_t step = 0;
  int64_t steps = 0;
  bool finished = false;  // False: the callback said stop.
  double last_loss = 0;
  int64_t tokens_seen = 0;
};

struct EvaluationLoss {
  double loss = 0;            // As StepReport's.
  double token_accuracy = 0;  // Share of trained tokens whose most likely token is right; of the
                              // preferred answers only.
  int64_t trained_tokens = 0;
  ObjectiveReport objective;  // kPreference's members only.
};

// What a run will cost, from shapes alone.
struct TrainEstimate {
  int64_t steps = 0;
  int64_t tokens = 0;           // Of all rows of all epochs.
  int64_t computed_tokens = 0;  // After shared prefixes.
  int64_t trainable_parameters = 0;
  int64_t activation_bytes = 0;  // Of the largest pack.
  bool recompute = false;        // The backward pass computes activations again.
  double flops = 0;
};

// What processes that train one adapter together must have alike: else they add up gradients of
// different losses.
struct TrainTerms {
  std::string compute_type;  // As is computed: "bf16" or "fp32".
  std::string base_weights;  // A hash of the base as it is computed with.
  std::string rows;          // A hash of rows and configuration.
};

class Trainer {
 public:
  // Rows are checked here: InvalidArgument names the row ("ROW_TOO_LONG",
  // "ROW_WITHOUT_TRAINED_TOKEN", "ROW_WITHOUT_REJECTED", "ROW_WITHOUT_TEACHER",
  // "TOKEN_OUT_OF_RANGE", "NO_ROWS", "BAD_TRAIN_CONFIG"). `validation` may be empty.
  //
  // With `peers` several processes, which were all given the same base, configuration and rows,
  // train one adapter (collective.h): each computes its share of every window, all do the same
  // steps and get the same reports, and any of them may write checkpoints and the adapter. Run and
  // Evaluate then are calls that all of them make; they may return Unavailable("PEER_LOST").
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(
      std::shared_ptr<const BaseModel> base, TrainConfig config, std::vector<TrainRow> train,
      std::vector<TrainRow> validation, std::shared_ptr<Collective> peers = nullptr);
  ~Trainer();

  // Replaces the initial adapter by a PEFT folder's. Rank and targets must be the config's. Before
  // the first step only.
  absl::Status LoadAdapter(const std::string& folder);

  // Continues from a checkpoint folder. Unavailable("WORKERS_DIFFER") if it was computed in another
  // number type, which another process may have; FailedPrecondition("CHECKPOINT_MISMATCH") if it
  // was written with another config, base model or rows; DataLoss("CHECKPOINT_DAMAGED") if a file
  // is missing, incomplete or changed. On an error the trainer is as before.
  absl::Status Resume(const std::string& folder);

  // Trains until the last step, or until the callback says stop. May be called again to continue.
  // Aborted("LOSS_NOT_FINITE") names the step and the rows of the window; the adapter then is as
  // before that step.
  absl::StatusOr<TrainOutcome> Run(const StepCallback& callback);

  // Loss on the validation rows with the adapter as it is. FailedPrecondition without validation
  // rows.
  absl::StatusOr<EvaluationLoss> Evaluate();

  // Writes a folder atomically (temporary name beside it, fsync, rename). An existing folder of
  // that name is an error. ResourceExhausted("DISK_FULL") names file, bytes needed and bytes free.
  absl::Status SaveCheckpoint(const std::string& folder) const;

  // Writes a PEFT folder (adapter_config.json, adapter_model.safetensors) that loads in `peft`;
  // equal weights give equal bytes.
  absl::Status ExportAdapter(const std::string& folder, const std::string& base_model_name) const;

  TrainEstimate Estimate() const;
  // Reads some of the weights and all rows: about a second for a model of some billions.
  absl::StatusOr<TrainTerms> Terms() const;
  int64_t step() const;  // Optimizer steps done.
  int64_t steps() const;

 private:
  class Impl;
  explicit Trainer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::llm
