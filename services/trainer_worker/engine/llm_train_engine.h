// TrainEngine by the language-model library.
#pragma once

#include <memory>
#include <string>

#include "llm/model/base_model.h"
#include "llm/train/trainer.h"
#include "services/trainer_worker/domain/train_engine.h"

namespace crossover::worker {

// A plan as the trainer takes it. `rows` is the number of train rows. INVALID_ARGUMENT for an
// unknown target.
absl::StatusOr<llm::TrainConfig> ToTrainConfig(const TrainPlan& plan, int64_t rows);

struct LlmTrainEngineOptions {
  int threads = 0;  // 0: one per core
  // kAuto: as the job says, and 32-bit floats where the processor does not multiply bfloat16.
  llm::ComputeType compute_type = llm::ComputeType::kAuto;
  llm::WeightStorage weights = llm::WeightStorage::kAuto;
};

// Used by one thread at a time. Keeps the last base model in memory for the next job. Prepare and
// Export count PeakMemory anew, so a process has one engine.
class LlmTrainEngine final : public TrainEngine {
 public:
  explicit LlmTrainEngine(LlmTrainEngineOptions options) : options_(options) {}

  absl::StatusOr<std::unique_ptr<TrainRun>> Prepare(const TrainPlan& plan,
                                                    const TrainInputs& inputs) override;
  absl::Status Export(const ExportPlan& plan, const ExportInputs& inputs,
                      const std::filesystem::path& folder) override;
  std::string LoadedBase() const override { return base_digest_; }
  std::vector<ComputeType> ComputeTypes() const override;
  int64_t PeakMemory() override;

 private:
  absl::StatusOr<std::unique_ptr<TrainRun>> PrepareRun(const TrainPlan& plan,
                                                       const TrainInputs& inputs);
  // Frees the base in memory unless it is the one that Load is going to give.
  void DropOtherBase(const TrainInputs& inputs, llm::ComputeType compute_type);
  // After DropOtherBase with the same.
  absl::StatusOr<std::shared_ptr<const llm::BaseModel>> Load(const TrainInputs& inputs,
                                                             llm::ComputeType compute_type);

  const LlmTrainEngineOptions options_;
  std::shared_ptr<const llm::BaseModel> base_;
  std::string base_digest_;                                       // of the base in memory
  llm::ComputeType base_compute_type_ = llm::ComputeType::kAuto;  // that was asked for
  double peak_flops_ = 0;                                         // of the base in memory
};

}  // namespace crossover::worker
