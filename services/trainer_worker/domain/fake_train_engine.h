// A training that only counts: for tests of everything around it. Its "adapter" is a file that
// depends on the number of steps alone, so that resumed and uninterrupted runs can be compared by
// digest.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "services/trainer_worker/domain/train_engine.h"

namespace crossover::worker {

struct FakeTraining {
  int64_t steps = 10;
  std::function<void(int64_t step)> before_step = [](int64_t) {
  };  // where tests move time or pull plugs
  std::function<double(int64_t step)> valid_loss;  // absent: no validation rows
  // Instead of valid_loss, by plan as well: for sweeps.
  std::function<double(const TrainPlan& plan, int64_t step)> trial_loss;
  std::function<double(int64_t step)> train_loss = [](int64_t step) {
    return 2.0 / static_cast<double>(step);
  };
  // What an adapter's file holds.
  std::function<std::string(const TrainPlan& plan, int64_t step)> adapter = [](const TrainPlan&,
                                                                               int64_t step) {
    return "weights after " + std::to_string(step) + " steps";
  };
  std::function<absl::Status(const std::filesystem::path& folder)> on_write =
      [](const std::filesystem::path&) { return absl::OkStatus(); };  // disk full
  absl::Status prepare;                                               // error of Prepare
  std::function<absl::Status(int64_t step)> step_error = [](int64_t) { return absl::OkStatus(); };
  bool refuses_checkpoints = false;
  absl::Status of_checkpoints;  // error of Prepare when it shall resume one
  TrainTerms terms{.compute_type = "fp32", .base_weights = "base", .rows = "rows"};
};

class FakeTrainEngine final : public TrainEngine {
 public:
  absl::StatusOr<std::unique_ptr<TrainRun>> Prepare(const TrainPlan& plan,
                                                    const TrainInputs& inputs) override;
  absl::Status Export(const ExportPlan& plan, const ExportInputs& inputs,
                      const std::filesystem::path& folder) override;
  std::string LoadedBase() const override { return loaded_base; }
  std::vector<ComputeType> ComputeTypes() const override { return {ComputeType::kFloat32}; }
  int64_t PeakMemory() override { return 1 << 20; }

  FakeTraining script;
  int64_t steps_run = 0;  // over all runs
  std::string loaded_base;
  std::filesystem::path seen_base;  // file or folder of the last training or export
};

}  // namespace crossover::worker
