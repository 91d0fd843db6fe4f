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

// Where in the window a row of that share stands.
int64_t PlaceInWindow(int64_t place_in_share, const Collective& peers);

// Replaces what this process computed of its share by the sum over all processes, and `bad_row`
// (the place in the window of a row whose loss is not finite here; -1: none) by the first such
// place of any process. If there is one nothing else is exchanged. Errors of Collective::Sum.
absl::Status Combine(Collective& peers, int64_t& bad_row, LossResult& sum, int64_t& computed_tokens,
                     std::span<float> gradients);

}  // namespace crossover::llm
