// What does the computing. Implementations: LlmTrainEngine (engine/), FakeTrainEngine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/train/collective.h"
#include "services/trainer_worker/domain/work.h"

namespace crossover::worker {

// After one optimiser step.
struct Step {
  int64_t step = 0;
  int64_t steps = 0;
  double epoch = 0;
  double loss = 0;
  double learning_rate = 0;
  double grad_norm = 0;
  int64_t tokens = 0;          // of this step
  int64_t tokens_seen = 0;     // since step 1, also over a resume
  int64_t trained_tokens = 0;  // of this step: those with a weight
  double seconds = 0;
  double tokens_per_second = 0;
  // Floating-point operations a second of this step by those of a large matrix product here; 0 =
  // not known.
  double flops_ratio = 0;
  // What the objective says beside its loss, by the names of scheduler.v1.MetricPoint.
  std::map<std::string, double> objective;
};

struct Validation {
  double loss = 0;
  double token_accuracy = 0;
  std::map<std::string, double> objective;  // as Step's
};

// What workers that share a job must have alike: else they add up gradients of different losses.
struct TrainTerms {
  std::string compute_type;  // as it computes: bf16 or fp32
  std::string base_weights;  // hash of the base as it is computed with
  std::string rows;          // hash of rows and settings
};

// What a training has before it, as it was read.
struct TrainSize {
  int64_t rows = 0;
  int64_t validation_rows = 0;
  int64_t tokens = 0;  // of all rows of all epochs
};

// One training in memory. Used by one thread.
class TrainRun {
 public:
  enum class Decision { kContinue, kStop };
  using OnStep = std::function<Decision(const Step&)>;

  virtual ~TrainRun() = default;

  // Until the last step or until `on_step` says stop; true if the last step was reached. `on_step`
  // may call the functions below.
  virtual absl::StatusOr<bool> Train(const OnStep& on_step) = 0;
  virtual absl::StatusOr<TrainTerms> Terms() = 0;
  virtual TrainSize Size() const = 0;
  virtual bool has_validation() const = 0;
  virtual absl::StatusOr<Validation> Validate() = 0;

  // Both write a new folder.
  virtual absl::Status SaveCheckpoint(const std::filesystem::path& folder) = 0;
  virtual absl::Status ExportAdapter(const std::filesystem::path& folder) = 0;
};

struct TrainInputs {
  std::filesystem::path base;                       // GGUF file
  std::string base_digest;                          // recorded in the adapter
  std::filesystem::path dataset;                    // folder of shards
  std::optional<std::filesystem::path> adapter;     // to go on from
  std::optional<std::filesystem::path> checkpoint;  // to resume
  // The others of a gang, which call Train and Validate as often; nullptr: alone.
  std::shared_ptr<llm::Collective> peers;
};

struct ExportInputs {
  std::filesystem::path base;
  std::string base_digest;
  std::filesystem::path adapter;
  std::string adapter_digest;
};

// Used by one thread at a time.
class TrainEngine {
 public:
  virtual ~TrainEngine() = default;

  // Loads, tokenises and checks everything. INVALID_ARGUMENT names the row or the field that is
  // wrong. FAILED_PRECONDITION CHECKPOINT_MISMATCH or DATA_LOSS CHECKPOINT_DAMAGED: the checkpoint
  // cannot be resumed; UNAVAILABLE WORKERS_DIFFER: not here, but by a worker that computes
  // in the type it was made in.
  virtual absl::StatusOr<std::unique_ptr<TrainRun>> Prepare(const TrainPlan& plan,
                                                            const TrainInputs& inputs) = 0;

  // Writes the files of any format but kPeft, which the adapter itself is, into a new folder.
  virtual absl::Status Export(const ExportPlan& plan, const ExportInputs& inputs,
                              const std::filesystem::path& folder) = 0;

  // Digest of the base model that is in memory, where the next Prepare finds it; "" = none.
  virtual std::string LoadedBase() const = 0;

  // What it computes in, the type that it takes unless a job asks for another first.
  virtual std::vector<ComputeType> ComputeTypes() const = 0;

  // Most memory of the process since the last Prepare or Export began, in bytes; since it started
  // where the machine does not let it count anew.
  virtual int64_t PeakMemory() = 0;
};

}  // namespace crossover::worker
