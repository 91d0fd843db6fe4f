#include "llm/train/memory.h"

#include <algorithm>
#include <functional>

#include "llm/model/memory.h"

namespace crossover::llm {

int64_t LargestPackTokens(const TrainConfig& config, const std::vector<TrainRow>& rows) {
  std::vector<int64_t> lengths;
  for (const TrainRow& row : rows)
    lengths.push_back(static_cast<int64_t>(row.ids.size() + row.rejected_ids.size()));
  const size_t window = std::min(lengths.size(), static_cast<size_t>(config.batch_rows) *
                                                     static_cast<size_t>(config.accumulation));
  std::partial_sort(lengths.begin(), lengths.begin() + window, lengths.end(), std::greater<>());
  int64_t tokens = 0;
  for (size_t i = 0; i < window; ++i) tokens += lengths[i];
  return std::max(lengths.front(), std::min(tokens, config.max_pack_tokens));
}

bool ShouldRecompute(const TrainConfig& config, int64_t kept_bytes) {
  if (config.recompute != Recompute::kAuto) return config.recompute == Recompute::kAlways;
  const int64_t budget =
      config.activation_bytes > 0 ? config.activation_bytes : AvailableMemory() / 2;
  return kept_bytes > budget;
}

}  // namespace crossover::llm
