// Lays training rows out as packs: rows that begin with the same tokens share them. No torch.
//
// The rows of a pack form a forest of segments (llm/model/pack.h). Attention works segment by
// segment, so there is no padding and no interaction between rows. Rows are sorted, so that common
// prefixes stand together; what shares a prefix stays in one pack as far as its token budget goes,
// and these bundles fill packs by best-fit decreasing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llm/model/pack.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

// One trained token: the hidden state at `token` of the pack predicts `target`.
struct LossEntry {
  int32_t token = 0;
  int32_t target = 0;
  float weight = 0;
  int32_t row = 0;        // Index into the rows given to PackRows.
  int32_t position = 0;   // Of `target` in its sequence.
  bool rejected = false;  // Belongs to the row's rejected answer (preference training).
};

struct TrainPack {
  Pack pack;
  std::vector<LossEntry> entries;
};

struct PackOptions {
  int64_t max_tokens = 2048;
  bool share_prefix = true;
  int64_t min_shared_prefix = 16;
};

// Every row stands in exactly one pack. A row longer than max_tokens is a pack of its own.
// Deterministic.
std::vector<TrainPack> PackRows(std::span<const TrainRow* const> rows, const PackOptions& options);

// Sum of the weights of all trained tokens: row.weight * row.token_weights[i], i >= 1.
double TotalWeight(std::span<const TrainRow* const> rows);

}  // namespace crossover::llm
