#include "llm/train/trainer.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/lora/adapter.h"
#include "llm/lora/initial.h"
#include "llm/model/exceptions.h"
#include "llm/train/adapter_plan.h"
#include "llm/train/checkpoint.h"
#include "llm/train/fingerprint.h"
#include "llm/train/optimizer.h"
#include "llm/train/schedule.h"
#include "llm/train/validate.h"
#include "llm/train/window.h"

namespace crossover::llm {

namespace {

AdamWOptions OptimizerOf(const TrainConfig& config) {
  return {config.beta1, config.beta2, config.epsilon, config.weight_decay,
          config.max_gradient_norm};
}

std::vector<float> InitialAdapterOf(const BaseModel& base, const LoraLayout& layout,
                                    const TrainConfig& config) {
  return config.initial == InitialAdapter::kPissa ? PissaValues(base, layout, config.seed)
                                                  : InitialValues(base, layout, config.seed);
}

}  // namespace

class Trainer::Impl {
 public:
  Impl(std::shared_ptr<const BaseModel> base, TrainConfig config, std::vector<TrainRow> train,
       std::vector<TrainRow> validation, std::shared_ptr<Collective> peers)
      : base_(std::move(base)),
        config_(std::move(config)),
        train_(std::move(train)),
        validation_(std::move(validation)),
        peers_(std::move(peers)),
        layout_(PlannedLayout(base_->config(), config_)),
        order_(config_, static_cast<int64_t>(train_.size())),
        adapter_(InitialAdapterOf(*base_, layout_, config_)),
        gradients_(layout_.size(), 0.0f),
        optimizer_(OptimizerOf(config_), layout_.size(), TrainedRuns(layout_, config_.b_rate)),
        computer_(*base_, config_, layout_, train_, peers_.get()) {}

  absl::Status LoadAdapter(const std::string& folder) {
    if (step_ > 0) {
      return Error(absl::StatusCode::kFailedPrecondition, "ALREADY_TRAINING",
                   "an initial adapter is loaded before the first step");
    }
    if (config_.initial == InitialAdapter::kPissa) {
      return Error(absl::StatusCode::kInvalidArgument, "ADAPTER_MISMATCH",
                   "a run begins with PiSSA or with an adapter, not with both; to go on from a "
                   "PiSSA adapter, which is a plain one of twice the rank, leave PiSSA off");
    }
    ASSIGN_OR_RETURN(LoraAdapter adapter, ReadAdapter(folder, base_->config()));
    const auto same = [](const LoraMatrix& a, const LoraMatrix& b) {
      return a.layer == b.layer && a.target == b.target && a.rank == b.rank &&
             a.scaled() == b.scaled();
    };
    if (!std::ranges::equal(adapter.layout.matrices(), layout_.matrices(), same)) {
      return Error(absl::StatusCode::kInvalidArgument, "ADAPTER_MISMATCH",
                   absl::StrCat(folder,
                                " has other layers, another rank or another form than this "
                                "run: rank ",
                                config_.rank, config_.dora ? " with DoRA" : "", " is wanted"));
    }
    adapter_ = std::move(adapter.values);
    // It was made with its own scale, and goes on with this run's: B makes up for it.
    for (size_t i = 0; i < layout_.matrices().size(); ++i) {
      const LoraMatrix& to = layout_.matrices()[i];
      const double ratio = adapter.layout.matrices()[i].scale / to.scale;
      if (ratio == 1) continue;
      for (int64_t j = 0; j < to.b_size(); ++j)
        adapter_[to.b_offset + j] = static_cast<float>(adapter_[to.b_offset + j] * ratio);
    }
    return absl::OkStatus();
  }

  absl::Status Resume(const std::string& folder) {
    ASSIGN_OR_RETURN(TrainState state, ReadCheckpoint(folder));
    if (!state.compute_type.empty() && state.compute_type != ComputeTypeText()) {
      return Error(
          absl::StatusCode::kUnavailable, "WORKERS_DIFFER",
          absl::StrCat(folder, " of step ", state.step, " was computed in ", state.compute_type,
                       ", and this process computes in ", ComputeTypeText(),
                       ": go on with --compute-type=", state.compute_type,
                       " or where the processor has that type, or begin a run anew"));
    }
    if (state.fingerprint != Fingerprint() || state.adapter.size() != adapter_.size()) {
      return Error(absl::StatusCode::kFailedPrecondition, "CHECKPOINT_MISMATCH",
                   absl::StrCat(folder,
                                " was written by a run with other rows, another configuration or "
                                "another base model"));
    }
    step_ = state.step;
    tokens_seen_ = state.tokens_seen;
    last_loss_ = state.last_loss;
    adapter_ = std::move(state.adapter);
    optimizer_.m() = std::move(state.m);
    optimizer_.v() = std::move(state.v);
    return absl::OkStatus();
  }

  absl::Status SaveCheckpoint(const std::string& folder) const {
    return WriteCheckpoint(folder, {step_, tokens_seen_, last_loss_, Fingerprint(),
                                    ComputeTypeText(), adapter_, optimizer_.m(), optimizer_.v()});
  }

  absl::Status ExportAdapter(const std::string& folder, const std::string& base_model_name) const {
    return WriteAdapter(folder, PlannedConfig(config_, base_model_name), layout_, adapter_);
  }

  absl::StatusOr<TrainOutcome> Run(const StepCallback& callback) {
    BindThread(base_->execution());
    bool stopped = false;
    while (step_ < steps() && !stopped) {
      ASSIGN_OR_RETURN(const StepReport report, Step());
      stopped = callback && callback(report) == StepDecision::kStop;
    }
    return TrainOutcome{step_, steps(), step_ >= steps(), last_loss_, tokens_seen_};
  }

  absl::StatusOr<EvaluationLoss> Evaluate() {
    if (validation_.empty()) {
      return Error(absl::StatusCode::kFailedPrecondition, "NO_VALIDATION_ROWS",
                   "this run has no validation rows");
    }
    BindThread(base_->execution());
    const c10::InferenceMode inference;
    std::vector<const TrainRow*> rows;
    for (const TrainRow& row : validation_) rows.push_back(&row);
    ASSIGN_OR_RETURN(const LossResult sum, computer_.Evaluate(rows, step_, adapter_));
    return EvaluationLoss{sum.weighted_loss / sum.weight,
                          static_cast<double>(sum.correct) / static_cast<double>(sum.tokens),
                          sum.tokens, sum.Report()};
  }

  TrainEstimate Estimate() {
    TrainEstimate estimate{.steps = steps(), .recompute = computer_.recompute()};
    for (const ParameterRun& run : TrainedRuns(layout_, config_.b_rate))
      estimate.trainable_parameters += run.size;
    for (int64_t t = 0; t < std::min(steps(), order_.steps_per_epoch()); ++t)
      computer_.AddTo(estimate, RowsOf(order_.Window(t)));
    const double epochs =
        std::max(1.0, static_cast<double>(steps()) / static_cast<double>(order_.steps_per_epoch()));
    const auto times = [&](int64_t tokens) {
      return static_cast<int64_t>(static_cast<double>(tokens) * epochs);
    };
    estimate.tokens = times(estimate.tokens);
    estimate.computed_tokens = times(estimate.computed_tokens);
    estimate.flops = static_cast<double>(estimate.computed_tokens) * computer_.FlopsPerToken();
    return estimate;
  }

  TrainTerms Terms() const {
    return {.compute_type = ComputeTypeText(),
            .base_weights = BaseFingerprintOf(*base_),
            .rows = RowsFingerprintOf(config_, train_)};
  }

  int64_t step() const { return step_; }
  int64_t steps() const { return order_.steps(); }

 private:
  std::string ComputeTypeText() const { return base_->execution().bf16() ? "bf16" : "fp32"; }

  // Hashes weights and rows, so it is made when the first checkpoint asks for it.
  const std::string& Fingerprint() const {
    if (fingerprint_.empty()) fingerprint_ = FingerprintOf(*base_, config_, train_);
    return fingerprint_;
  }

  std::vector<const TrainRow*> RowsOf(const std::vector<int32_t>& indices) const {
    std::vector<const TrainRow*> rows;
    for (const int32_t index : indices) rows.push_back(&train_[index]);
    return rows;
  }

  // One optimizer step. The adapter is unchanged if it fails.
  absl::StatusOr<StepReport> Step() {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<const TrainRow*> rows = RowsOf(order_.Window(step_));
    const c10::InferenceMode inference;
    ASSIGN_OR_RETURN(const WindowResult window,
                     computer_.Gradient(rows, step_, adapter_, gradients_));
    optimizer_.ClearUntrained(gradients_);
    const double norm = AdamW::Norm(gradients_);
    if (!std::isfinite(norm)) return NotFinite("gradient", step_ + 1, rows, config_.learning_rate);
    const double rate = LearningRate(config_, step_, steps());
    optimizer_.Step(step_ + 1, rate, norm, gradients_, adapter_);
    ++step_;
    tokens_seen_ += window.tokens;
    last_loss_ = window.loss;
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return StepReport{
        .step = step_,
        .steps = steps(),
        .epoch = static_cast<double>(step_) / static_cast<double>(order_.steps_per_epoch()),
        .loss = window.loss,
        .learning_rate = rate,
        .gradient_norm = norm,
        .tokens = window.tokens,
        .computed_tokens = window.computed_tokens,
        .trained_tokens = window.trained_tokens,
        .tokens_seen = tokens_seen_,
        .seconds = seconds,
        .tokens_per_second = static_cast<double>(window.tokens) / seconds,
        .objective = window.objective};
  }

  std::shared_ptr<const BaseModel> base_;
  TrainConfig config_;
  std::vector<TrainRow> train_, validation_;
  std::shared_ptr<Collective> peers_;  // null: this process alone.
  LoraLayout layout_;
  RowOrder order_;
  std::vector<float> adapter_, gradients_;
  AdamW optimizer_;
  WindowComputer computer_;
  int64_t step_ = 0;
  int64_t tokens_seen_ = 0;
  double last_loss_ = 0;
  mutable std::string fingerprint_;
};

Trainer::Trainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Trainer::~Trainer() = default;

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(std::shared_ptr<const BaseModel> base,
                                                         TrainConfig config,
                                                         std::vector<TrainRow> train,
                                                         std::vector<TrainRow> validation,
                                                         std::shared_ptr<Collective> peers) {
  RETURN_IF_ERROR(CheckConfig(base->config(), config));
  RETURN_IF_ERROR(CheckRows(*base, config, train, "training"));
  if (!validation.empty()) RETURN_IF_ERROR(CheckRows(*base, config, validation, "validation"));
  return WithoutExceptions([&]() -> absl::StatusOr<std::unique_ptr<Trainer>> {
    const c10::InferenceMode inference;
    auto impl = std::make_unique<Impl>(std::move(base), std::move(config), std::move(train),
                                       std::move(validation), std::move(peers));
    return std::unique_ptr<Trainer>(new Trainer(std::move(impl)));
  });
}

absl::Status Trainer::LoadAdapter(const std::string& folder) {
  return WithoutExceptions([&] { return impl_->LoadAdapter(folder); });
}

absl::Status Trainer::Resume(const std::string& folder) {
  return WithoutExceptions([&] { return impl_->Resume(folder); });
}

absl::StatusOr<TrainOutcome> Trainer::Run(const StepCallback& callback) {
  return WithoutExceptions([&] { return impl_->Run(callback); });
}

absl::StatusOr<EvaluationLoss> Trainer::Evaluate() {
  return WithoutExceptions([&] { return impl_->Evaluate(); });
}

absl::Status Trainer::SaveCheckpoint(const std::string& folder) const {
  return WithoutExceptions([&] { return impl_->SaveCheckpoint(folder); });
}

absl::Status Trainer::ExportAdapter(const std::string& folder,
                                    const std::string& base_model_name) const {
  return WithoutExceptions([&] { return impl_->ExportAdapter(folder, base_model_name); });
}

TrainEstimate Trainer::Estimate() const { return impl_->Estimate(); }
absl::StatusOr<TrainTerms> Trainer::Terms() const {
  return WithoutExceptions([&]() -> absl::StatusOr<TrainTerms> { return impl_->Terms(); });
}
int64_t Trainer::step() const { return impl_->step(); }
int64_t Trainer::steps() const { return impl_->steps(); }

}  // namespace crossover::llm
