// The part of data-parallel training that knows about rows and gradients. Sees torch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "llm/train/collective.h"
#include "llm/train/loss.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

// The rows of a window that this process computes: every size-th one. May be empty.
std::vector<const TrainRow*> ShareOf(std::span<const TrainRow* const> rows,
                                     const Collective& peers);

// Replaces what this process computed of its share by the sum over all processes. `mine` tells how
// it went here: if it failed anywhere no gradient is exchanged and everyone gets an error, its own
// or Aborted("LOSS_NOT_FINITE") that points to the others. Errors of Collective::Sum.
absl::Status Combine(Collective& peers, const absl::Status& mine, LossResult& sum,
                     int64_t& computed_tokens, std::span<float> gradients);

}  // namespace crossover::llm
