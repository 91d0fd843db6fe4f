#include "services/trainer_worker/domain/fake_train_engine.h"

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::worker {
namespace {

absl::Status Write(const std::filesystem::path& folder, const char* file, const std::string& text) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / file) << text;
  return absl::OkStatus();
}

class FakeRun final : public TrainRun {
 public:
  FakeRun(FakeTrainEngine& engine, TrainPlan plan, int64_t step)
      : engine_(engine), plan_(std::move(plan)), step_(step) {}

  absl::StatusOr<bool> Train(const OnStep& on_step) override {
    const FakeTraining& script = engine_.script;
    while (step_ < script.steps) {
      script.before_step(step_ + 1);
      RETURN_IF_ERROR(script.step_error(step_ + 1));
      ++step_;
      ++engine_.steps_run;
      const double loss = script.train_loss(step_);
      const Step step{.step = step_,
                      .steps = script.steps,
                      .epoch = 1.0 * step_ / script.steps,
                      .loss = loss,
                      .learning_rate = 1e-3,
                      .grad_norm = 1,
                      .tokens = 100,
                      .tokens_seen = 100 * step_,
                      .trained_tokens = 20,
                      .seconds = 0.1,
                      .tokens_per_second = 1000};
      if (on_step(step) == Decision::kStop) return step_ == script.steps;
    }
    return true;
  }
  absl::StatusOr<TrainTerms> Terms() override { return engine_.script.terms; }
  TrainSize Size() const override {
    return {.rows = 5, .validation_rows = has_validation() ? 2 : 0, .tokens = 1000};
  }
  bool has_validation() const override {
    return engine_.script.valid_loss || engine_.script.trial_loss;
  }
  absl::StatusOr<Validation> Validate() override {
    const FakeTraining& script = engine_.script;
    const double loss =
        script.trial_loss ? script.trial_loss(plan_, step_) : script.valid_loss(step_);
    return Validation{loss, 0.5, {}};
  }
  absl::Status SaveCheckpoint(const std::filesystem::path& folder) override {
    RETURN_IF_ERROR(engine_.script.on_write(folder));
    return Write(folder, "step", absl::StrCat(step_));
  }
  absl::Status ExportAdapter(const std::filesystem::path& folder) override {
    RETURN_IF_ERROR(engine_.script.on_write(folder));
    return Write(folder, "adapter", engine_.script.adapter(plan_, step_));
  }

 private:
  FakeTrainEngine& engine_;
  const TrainPlan plan_;
  int64_t step_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrainRun>> FakeTrainEngine::Prepare(const TrainPlan& plan,
                                                                   const TrainInputs& inputs) {
  RETURN_IF_ERROR(script.prepare);
  if (plan.max_steps > 0) script.steps = plan.max_steps;
  int64_t step = 0;
  if (inputs.checkpoint.has_value()) {
    RETURN_IF_ERROR(script.of_checkpoints);
    if (script.refuses_checkpoints) {
      return Error(absl::StatusCode::kFailedPrecondition, "CHECKPOINT_MISMATCH", "other rows");
    }
    std::ifstream(*inputs.checkpoint / "step") >> step;
  }
  loaded_base = inputs.base_digest;
  seen_base = inputs.base;
  return std::make_unique<FakeRun>(*this, plan, step);
}

absl::Status FakeTrainEngine::Export(const ExportPlan&, const ExportInputs& inputs,
                                     const std::filesystem::path& folder) {
  seen_base = inputs.base;
  RETURN_IF_ERROR(script.on_write(folder));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "model.gguf") << "merged " << inputs.adapter_digest;
  return absl::OkStatus();
}

}  // namespace crossover::worker
