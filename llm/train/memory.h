// What training takes of the machine's memory. No torch.
#pragma once

#include <cstdint>
#include <vector>

#include "llm/train/trainer.h"

namespace crossover::llm {

// Tokens that a pack of these rows has at most.
int64_t LargestPackTokens(const TrainConfig& config, const std::vector<TrainRow>& rows);

// Whether the backward pass computes activations again, when keeping them takes `kept_bytes`.
bool ShouldRecompute(const TrainConfig& config, int64_t kept_bytes);

}  // namespace crossover::llm
