// What one window of rows costs under an adapter: its loss, the gradient of it, and the work. Sees
// torch.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/lora/layout.h"
#include "llm/lora/operands.h"
#include "llm/model/base_model.h"
#include "llm/model/decoder.h"
#include "llm/train/backward.h"
#include "llm/train/collective.h"
#include "llm/train/objective.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

// What one window adds up to.
struct WindowResult {
  double loss = 0;  // Mean over the window.
  int64_t tokens = 0;
  int64_t computed_tokens = 0;
  int64_t trained_tokens = 0;
  ObjectiveReport objective;
};

// Keeps the memory of forward and backward passes from window to window. Used by one thread, under
// InferenceMode.
class WindowComputer {
 public:
  using Rows = Objective::Rows;

  // Borrows base, config and layout. `rows` are all that will be trained on: they decide how
  // activations are kept.
  // With `peers` (else null; borrowed) a window is computed together with other processes, which
  // make the same calls: results are those of the whole window, on all of them.
  WindowComputer(const BaseModel& base, const TrainConfig& config, const LoraLayout& layout,
                 const std::vector<TrainRow>& rows, Collective* peers);

  // Fills `gradients` with the gradient of the window's mean loss at `adapter`; `step` decides what
  // is random. Aborted("LOSS_NOT_FINITE") names the row. Errors of Collective::Sum.
  absl::StatusOr<WindowResult> Gradient(Rows rows, int64_t step, std::span<const float> adapter,
                                        std::span<float> gradients);

  // Without gradient and without noise, after `step` steps. Errors as those of Gradient.
  absl::StatusOr<LossResult> Evaluate(Rows rows, int64_t step, std::span<const float> adapter);

  // Adds the window's tokens to `estimate`; activation_bytes becomes those of its largest pack, if
  // that is more.
  void AddTo(TrainEstimate& estimate, Rows rows) const;
  // Floating-point operations for each computed token.
  double FlopsPerToken() const;
  bool recompute() const { return recompute_; }

 private:
  PackOptions Packing() const;
  // The rows of a window that are computed here.
  std::vector<const TrainRow*> Mine(Rows rows) const;
  // Where in the window one of them stands.
  int64_t Place(int64_t place_in_mine) const;
  int64_t BytesPerToken(bool recompute) const;

  const BaseModel& base_;
  const TrainConfig& config_;
  const LoraLayout& layout_;
  Collective* const peers_;
  LoraOperands operands_;
  bool recompute_;
  Activations activations_, evaluation_activations_;
  DecoderBackward backward_;
  std::unique_ptr<Objective> objective_;
};

// Aborted("LOSS_NOT_FINITE"): `what` ("loss") of step number `step` (from 1) in these rows.
absl::Status NotFinite(std::string_view what, int64_t step, WindowComputer::Rows rows,
                       double learning_rate);

}  // namespace crossover::llm
