#include "llm/model/pack.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace crossover::llm {

Pack PackOf(const std::vector<int32_t>& ids) {
  Pack pack;
  pack.ids = ids;
  pack.positions.resize(ids.size());
  std::iota(pack.positions.begin(), pack.positions.end(), 0);
  pack.segments = {{.begin = 0, .end = static_cast<int64_t>(ids.size())}};
  return pack;
}

std::vector<std::pair<int64_t, int64_t>> AncestorRanges(const Pack& pack, int index) {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (int i = pack.segments[index].parent; i >= 0; i = pack.segments[i].parent) {
    ranges.emplace_back(pack.segments[i].begin, pack.segments[i].end);
  }
  std::reverse(ranges.begin(), ranges.end());
  return ranges;
}

}  // namespace crossover::llm
