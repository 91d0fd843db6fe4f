// What training takes of the machine's memory. No torch.
#pragma once

#include <cstdint>
#include <vector>

#include "llm/train/trainer.h"

namespace crossover::llm {

// Bytes that this process could still take: what /proc/meminfo says is available, or what is left
// of the control group's limit where that is less.
int64_t AvailableMemory();

// Tokens that a pack of these rows has at most.
int64_t LargestPackTokens(const TrainConfig& config, const std::vector<TrainRow>& rows);

// Whether the backward pass computes activations again, when keeping them takes `kept_bytes`.
bool ShouldRecompute(const TrainConfig& config, int64_t kept_bytes);

}  // namespace crossover::llm
