#include "llm/train/memory.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <limits>
#include <string>

namespace crossover::llm {

namespace {

constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

// The number after `key` in a file of "key: number" lines; kUnknown if there is none.
int64_t NumberAfter(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string word; in >> word;) {
    int64_t number = 0;
    if (word == key && in >> number) return number;
  }
  return kUnknown;
}

int64_t NumberIn(const char* file) {
  std::ifstream in(file);
  int64_t number = 0;
  return in >> number ? number : kUnknown;  // "max" is no number.
}

// Of control groups version 2, as a container sees its own.
int64_t LeftOfGroupLimit() {
  const int64_t limit = NumberIn("/sys/fs/cgroup/memory.max");
  const int64_t used = NumberIn("/sys/fs/cgroup/memory.current");
  return limit == kUnknown || used == kUnknown ? kUnknown : std::max<int64_t>(0, limit - used);
}

}  // namespace

int64_t AvailableMemory() {
  const int64_t kibibytes = NumberAfter("/proc/meminfo", "MemAvailable:");
  const int64_t machine = kibibytes == kUnknown ? kUnknown : kibibytes * 1024;
  return std::min(machine, LeftOfGroupLimit());
}

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
