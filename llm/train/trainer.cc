#include "llm/train/trainer.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/lora/adapter.h"
#include "llm/lora/operands.h"
#include "llm/model/decoder.h"
#include "llm/model/weights.h"
#include "llm/train/backward.h"
#include "llm/train/checkpoint.h"
#include "llm/train/data_parallel.h"
#include "llm/train/fingerprint.h"
#include "llm/train/loss.h"
#include "llm/train/objective.h"
#include "llm/train/optimizer.h"
#include "llm/train/packer.h"
#include "llm/train/schedule.h"
#include "llm/train/validate.h"

namespace crossover::llm {

namespace {

double ScaleOf(const TrainConfig& config) {
  return config.alpha / (config.rslora ? std::sqrt(static_cast<double>(config.rank))
                                       : static_cast<double>(config.rank));
}

Activations::Ranks RanksOf(const LoraLayout& layout) {
  return {layout.MaxRankSum(Group::kQkv), layout.MaxRankSum(Group::kO),
          layout.MaxRankSum(Group::kGateUp), layout.MaxRankSum(Group::kDown)};
}

AdamWOptions OptimizerOf(const TrainConfig& config) {
  return {config.beta1, config.beta2, config.epsilon, config.weight_decay,
          config.max_gradient_norm};
}

// What one window adds up to.
struct WindowResult {
  double loss = 0;
  int64_t tokens = 0;
  int64_t computed_tokens = 0;
  int64_t trained_tokens = 0;
  ObjectiveReport objective;
};

int64_t TokensOf(const TrainRow& row) {
  return static_cast<int64_t>(row.ids.size() + row.rejected_ids.size());
}

}  // namespace

class Trainer::Impl {
 public:
  Impl(std::shared_ptr<const BaseModel> base, TrainConfig config, std::vector<TrainRow> train,
       std::vector<TrainRow> validation, std::unique_ptr<Collective> peers)
      : base_(std::move(base)),
        config_(std::move(config)),
        train_(std::move(train)),
        validation_(std::move(validation)),
        peers_(std::move(peers)),
        layout_(
            LoraLayout::Uniform(base_->config(), config_.targets, config_.rank, ScaleOf(config_))),
        order_(config_, static_cast<int64_t>(train_.size())),
        adapter_(InitialValues(layout_, config_.seed)),
        gradients_(layout_.size(), 0.0f),
        optimizer_(OptimizerOf(config_), layout_.size()),
        operands_(base_->config(), layout_, base_->weights().options()),
        activations_(*base_, RanksOf(layout_), /*keep=*/true),
        evaluation_activations_(*base_, RanksOf(layout_), /*keep=*/false),
        backward_(*base_, layout_),
        objective_(MakeObjective(*base_, config_)) {}

  absl::Status LoadAdapter(const std::string& folder) {
    if (step_ > 0) {
      return Error(absl::StatusCode::kFailedPrecondition, "ALREADY_TRAINING",
                   "an initial adapter is loaded before the first step");
    }
    ASSIGN_OR_RETURN(LoraAdapter adapter, ReadAdapter(folder, base_->config()));
    const auto same = [](const LoraMatrix& a, const LoraMatrix& b) {
      return a.layer == b.layer && a.target == b.target && a.rank == b.rank;
    };
    if (!std::ranges::equal(adapter.layout.matrices(), layout_.matrices(), same)) {
      return Error(absl::StatusCode::kInvalidArgument, "ADAPTER_MISMATCH",
                   absl::StrCat(folder, " has other targets or another rank than this run: rank ",
                                config_.rank, " is wanted"));
    }
    adapter_ = std::move(adapter.values);
    return absl::OkStatus();
  }

  absl::Status Resume(const std::string& folder) {
    ASSIGN_OR_RETURN(TrainState state, ReadCheckpoint(folder));
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
    return WriteCheckpoint(folder, {step_, tokens_seen_, last_loss_, Fingerprint(), adapter_,
                                    optimizer_.m(), optimizer_.v()});
  }

  absl::Status ExportAdapter(const std::string& folder, const std::string& base_model_name) const {
    LoraConfig config{.rank = config_.rank,
                      .alpha = config_.alpha,
                      .rslora = config_.rslora,
                      .base_model = base_model_name};
    for (const Target target : config_.targets) config.target_modules.emplace_back(NameOf(target));
    std::sort(config.target_modules.begin(), config.target_modules.end());
    return WriteAdapter(folder, config, layout_, adapter_);
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
    operands_.Assign(layout_, adapter_);
    std::vector<const TrainRow*> rows;
    for (const TrainRow& row : validation_) rows.push_back(&row);
    if (peers_ != nullptr) rows = ShareOf(rows, *peers_);
    LossResult sum;
    for (const TrainPack& pack : objective_->Packs(rows, PackingOf(config_))) {
      objective_->Prepare(pack);
      DecoderForward(*base_, operands_.blocks(), pack.pack, evaluation_activations_);
      sum.Add(objective_->Evaluate(rows, pack, evaluation_activations_.h_final));
    }
    if (peers_ != nullptr) {
      int64_t computed = 0;
      RETURN_IF_ERROR(Combine(*peers_, absl::OkStatus(), sum, computed, {}));
    }
    return EvaluationLoss{sum.weighted_loss / sum.weight,
                          static_cast<double>(sum.correct) / static_cast<double>(sum.tokens),
                          sum.tokens, sum.Report()};
  }

  TrainEstimate Estimate() {
    TrainEstimate estimate{.steps = steps(), .trainable_parameters = layout_.size()};
    int64_t largest = 0;
    for (int64_t t = 0; t < std::min(steps(), order_.steps_per_epoch()); ++t) {
      const std::vector<const TrainRow*> rows = RowsOf(order_.Window(t));
      for (const TrainRow* row : rows) estimate.tokens += TokensOf(*row);
      for (const TrainPack& pack : objective_->Packs(rows, PackingOf(config_))) {
        estimate.computed_tokens += pack.pack.tokens();
        largest = std::max(largest, pack.pack.tokens());
      }
    }
    const double epochs =
        static_cast<double>(steps()) / static_cast<double>(order_.steps_per_epoch());
    estimate.tokens =
        static_cast<int64_t>(static_cast<double>(estimate.tokens) * std::max(1.0, epochs));
    estimate.computed_tokens =
        static_cast<int64_t>(static_cast<double>(estimate.computed_tokens) * std::max(1.0, epochs));
    estimate.activation_bytes =
        largest * Activations::BytesPerToken(base_->config(), base_->execution(), RanksOf(layout_),
                                             /*keep=*/true);
    const double frozen = static_cast<double>(
        base_->parameters() - base_->config().vocab_size * base_->config().hidden_size);
    estimate.flops = static_cast<double>(estimate.computed_tokens) *
                     ((4 + 2 * objective_->reference_passes()) * frozen +
                      6 * static_cast<double>(layout_.size()));
    return estimate;
  }

  int64_t step() const { return step_; }
  int64_t steps() const { return order_.steps(); }

 private:
  static PackOptions PackingOf(const TrainConfig& config) {
    return {config.max_pack_tokens, config.share_prefix, config.min_shared_prefix};
  }

  std::string Fingerprint() const { return FingerprintOf(*base_, config_, train_); }

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
    ASSIGN_OR_RETURN(const WindowResult window, Gradient(rows));
    const double norm = AdamW::Norm(gradients_);
    if (!std::isfinite(norm)) return NotFinite("gradient", rows);
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

  // Fills gradients_ with the gradient of the window's mean loss.
  absl::StatusOr<WindowResult> Gradient(const std::vector<const TrainRow*>& rows) {
    std::fill(gradients_.begin(), gradients_.end(), 0.0f);
    operands_.Assign(layout_, adapter_);
    const double total = objective_->TotalWeight(rows);
    WindowResult window;
    LossResult sum;
    for (const TrainRow* row : rows) window.tokens += TokensOf(*row);
    const std::vector<const TrainRow*> mine = peers_ == nullptr ? rows : ShareOf(rows, *peers_);
    absl::Status status;
    for (const TrainPack& pack : objective_->Packs(mine, PackingOf(config_))) {
      objective_->Prepare(pack);
      DecoderForward(*base_, operands_.blocks(), pack.pack, activations_);
      at::Tensor& d_hidden = activations_.delta;  // Free after the forward pass.
      const LossResult result =
          objective_->Gradient(mine, pack, activations_.h_final, 1 / total, d_hidden);
      if (result.bad_row >= 0) {
        status = NotFinite("loss", {mine[result.bad_row]});
        break;
      }
      backward_.Run(pack.pack, operands_, activations_, d_hidden, gradients_);
      window.computed_tokens += pack.pack.tokens();
      sum.Add(result);
    }
    if (peers_ != nullptr)
      status = Combine(*peers_, status, sum, window.computed_tokens, gradients_);
    RETURN_IF_ERROR(status);
    window.loss = sum.weighted_loss / total;
    window.trained_tokens = sum.tokens;
    window.objective = sum.Report();
    return window;
  }

  absl::Status NotFinite(std::string_view what, const std::vector<const TrainRow*>& rows) const {
    const std::string names = absl::StrJoin(rows, ", ", [](std::string* out, const TrainRow* row) {
      absl::StrAppend(out, "'", row->id, "'");
    });
    return Error(
        absl::StatusCode::kAborted, "LOSS_NOT_FINITE",
        absl::StrCat("step ", step_ + 1, ": the ", std::string(what),
                     " is not a finite number in row ", names, "; lower the learning rate (now ",
                     config_.learning_rate, ") or look at the row"));
  }

  std::shared_ptr<const BaseModel> base_;
  TrainConfig config_;
  std::vector<TrainRow> train_, validation_;
  std::unique_ptr<Collective> peers_;  // null: this process alone.
  LoraLayout layout_;
  RowOrder order_;
  std::vector<float> adapter_, gradients_;
  AdamW optimizer_;
  LoraOperands operands_;
  Activations activations_, evaluation_activations_;
  DecoderBackward backward_;
  std::unique_ptr<Objective> objective_;
  int64_t step_ = 0;
  int64_t tokens_seen_ = 0;
  double last_loss_ = 0;
};

namespace {

// LibTorch and the standard library report by exception: out of memory, mostly. They end here.
template <typename Work>
auto Guarded(const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::exception& e) {
    return Error(absl::StatusCode::kResourceExhausted, "TRAINING_FAILED",
                 absl::StrCat("computation failed: ", e.what()));
  }
}

}  // namespace

Trainer::Trainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Trainer::~Trainer() = default;

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(std::shared_ptr<const BaseModel> base,
                                                         TrainConfig config,
                                                         std::vector<TrainRow> train,
                                                         std::vector<TrainRow> validation,
                                                         std::unique_ptr<Collective> peers) {
  RETURN_IF_ERROR(CheckConfig(config));
  RETURN_IF_ERROR(CheckRows(*base, config, train, "training"));
  if (!validation.empty()) RETURN_IF_ERROR(CheckRows(*base, config, validation, "validation"));
  return Guarded([&]() -> absl::StatusOr<std::unique_ptr<Trainer>> {
    const c10::InferenceMode inference;
    auto impl = std::make_unique<Impl>(std::move(base), std::move(config), std::move(train),
                                       std::move(validation), std::move(peers));
    return std::unique_ptr<Trainer>(new Trainer(std::move(impl)));
  });
}

absl::Status Trainer::LoadAdapter(const std::string& folder) {
  return Guarded([&] { return impl_->LoadAdapter(folder); });
}

absl::Status Trainer::Resume(const std::string& folder) {
  return Guarded([&] { return impl_->Resume(folder); });
}

absl::StatusOr<TrainOutcome> Trainer::Run(const StepCallback& callback) {
  return Guarded([&] { return impl_->Run(callback); });
}

absl::StatusOr<EvaluationLoss> Trainer::Evaluate() {
  return Guarded([&] { return impl_->Evaluate(); });
}

absl::Status Trainer::SaveCheckpoint(const std::string& folder) const {
  return Guarded([&] { return impl_->SaveCheckpoint(folder); });
}

absl::Status Trainer::ExportAdapter(const std::string& folder,
                                    const std::string& base_model_name) const {
  return Guarded([&] { return impl_->ExportAdapter(folder, base_model_name); });
}

TrainEstimate Trainer::Estimate() const { return impl_->Estimate(); }
int64_t Trainer::step() const { return impl_->step(); }
int64_t Trainer::steps() const { return impl_->steps(); }

}  // namespace crossover::llm
