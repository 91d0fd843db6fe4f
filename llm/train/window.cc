#include "llm/train/window.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/model/weights.h"
#include "llm/train/data_parallel.h"
#include "llm/train/memory.h"

namespace crossover::llm {

namespace {

int64_t TokensOf(const TrainRow& row) {
  return static_cast<int64_t>(row.ids.size() + row.rejected_ids.size());
}

}  // namespace

WindowComputer::WindowComputer(const BaseModel& base, const TrainConfig& config,
                               const LoraLayout& layout, const std::vector<TrainRow>& rows,
                               Collective* peers)
    : base_(base),
      config_(config),
      layout_(layout),
      peers_(peers),
      operands_(base, layout),
      recompute_(ShouldRecompute(
          config, LargestPackTokens(config, rows) * BytesPerToken(/*recompute=*/false))),
      activations_(base, RanksOf(layout, config.dropout > 0), /*keep=*/true, recompute_),
      evaluation_activations_(base, RanksOf(layout), /*keep=*/false),
      backward_(base, layout),
      objective_(MakeObjective(base, config)) {}

PackOptions WindowComputer::Packing() const {
  return {config_.max_pack_tokens, config_.share_prefix, config_.min_shared_prefix};
}

std::vector<const TrainRow*> WindowComputer::Mine(Rows rows) const {
  if (peers_ == nullptr) return {rows.begin(), rows.end()};
  return ShareOf(rows, *peers_);
}

int64_t WindowComputer::Place(int64_t place_in_mine) const {
  return peers_ == nullptr ? place_in_mine : PlaceInWindow(place_in_mine, *peers_);
}

int64_t WindowComputer::BytesPerToken(bool recompute) const {
  return Activations::BytesPerToken(base_.config(), base_.execution(),
                                    RanksOf(layout_, config_.dropout > 0), /*keep=*/true,
                                    recompute);
}

absl::StatusOr<WindowResult> WindowComputer::Gradient(Rows rows, int64_t step,
                                                      std::span<const float> adapter,
                                                      std::span<float> gradients) {
  std::fill(gradients.begin(), gradients.end(), 0.0f);
  operands_.Assign(layout_, adapter);
  const double total = objective_->TotalWeight(rows);
  WindowResult window;
  LossResult sum;
  for (const TrainRow* row : rows) window.tokens += TokensOf(*row);
  StepNoise noise{config_.dropout, config_.neftune, config_.seed, static_cast<uint64_t>(step)};
  // Each process counts its tokens from a place of its own, so that no two draw the same noise.
  if (peers_ != nullptr) noise.first_token = static_cast<int64_t>(peers_->rank()) << 40;
  const std::vector<const TrainRow*> mine = Mine(rows);
  int64_t bad_row = -1;
  for (const TrainPack& pack : objective_->Packs(mine, Packing())) {
    objective_->Prepare(pack);
    DecoderForward(base_, operands_.blocks(), pack.pack, activations_, noise);
    at::Tensor& d_hidden = activations_.delta;  // Free after the forward pass.
    const LossResult result =
        objective_->Gradient(mine, pack, activations_.h_final, 1 / total, d_hidden);
    if (result.bad_row >= 0) {
      bad_row = Place(result.bad_row);
      break;
    }
    backward_.Run(pack.pack, operands_, activations_, d_hidden, gradients, noise);
    noise.first_token += pack.pack.tokens();
    window.computed_tokens += pack.pack.tokens();
    sum.Add(result);
  }
  if (peers_ != nullptr)
    RETURN_IF_ERROR(Combine(*peers_, bad_row, sum, window.computed_tokens, gradients));
  if (bad_row >= 0)
    return NotFinite("loss", step + 1, rows.subspan(bad_row, 1), config_.learning_rate);
  window.loss = sum.weighted_loss / total;
  window.trained_tokens = sum.tokens;
  window.objective = sum.Report();
  return window;
}

absl::StatusOr<LossResult> WindowComputer::Evaluate(Rows rows, int64_t step,
                                                    std::span<const float> adapter) {
  operands_.Assign(layout_, adapter);
  const std::vector<const TrainRow*> mine = Mine(rows);
  LossResult sum;
  int64_t bad_row = -1;
  for (const TrainPack& pack : objective_->Packs(mine, Packing())) {
    objective_->Prepare(pack);
    DecoderForward(base_, operands_.blocks(), pack.pack, evaluation_activations_);
    const LossResult result = objective_->Evaluate(mine, pack, evaluation_activations_.h_final);
    if (result.bad_row >= 0) {
      bad_row = Place(result.bad_row);
      break;
    }
    sum.Add(result);
  }
  int64_t computed = 0;
  if (peers_ != nullptr) RETURN_IF_ERROR(Combine(*peers_, bad_row, sum, computed, {}));
  if (bad_row >= 0)
    return NotFinite("validation loss", step, rows.subspan(bad_row, 1), config_.learning_rate);
  return sum;
}

void WindowComputer::AddTo(TrainEstimate& estimate, Rows rows) const {
  for (const TrainRow* row : rows) estimate.tokens += TokensOf(*row);
  for (const TrainPack& pack : objective_->Packs(rows, Packing())) {
    estimate.computed_tokens += pack.pack.tokens();
    estimate.activation_bytes =
        std::max(estimate.activation_bytes, pack.pack.tokens() * BytesPerToken(recompute_));
  }
}

double WindowComputer::FlopsPerToken() const {
  const double frozen = static_cast<double>(base_.parameters() -
                                            base_.config().vocab_size * base_.config().hidden_size);
  const int frozen_passes = (recompute_ ? 6 : 4) + 2 * objective_->reference_passes();
  return frozen_passes * frozen + 6 * static_cast<double>(layout_.size());
}

absl::Status NotFinite(std::string_view what, int64_t step, WindowComputer::Rows rows,
                       double learning_rate) {
  const std::string names = absl::StrJoin(rows, ", ", [](std::string* out, const TrainRow* row) {
    absl::StrAppend(out, "'", row->id, "'");
  });
  return Error(
      absl::StatusCode::kAborted, "LOSS_NOT_FINITE",
      absl::StrCat("step ", step, ": the ", std::string(what), " is not a finite number in row ",
                   names, "; lower the learning rate (now ", learning_rate,
                   ") or look at the row"));
}

}  // namespace crossover::llm
