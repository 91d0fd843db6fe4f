#include "llm/train/packer.h"

#include <algorithm>
#include <numeric>

namespace crossover::llm {

namespace {

int64_t Length(const TrainRow& row) { return static_cast<int64_t>(row.ids.size()); }

int64_t CommonPrefix(const TrainRow& a, const TrainRow& b) {
  const auto mismatch = std::mismatch(a.ids.begin(), a.ids.end(), b.ids.begin(), b.ids.end());
  return mismatch.first - a.ids.begin();
}

// Builds the forest of one pack from rows [begin, end) of a sorted list.
class Builder {
 public:
  Builder(std::span<const TrainRow* const> rows, std::span<const int32_t> sorted,
          const PackOptions& options)
      : rows_(rows), sorted_(sorted), options_(options), places_(sorted.size()) {}

  TrainPack Build() {
    Split(0, sorted_.size(), 0, 0, -1);
    for (size_t i = 0; i < sorted_.size(); ++i) AddEntries(i);
    return std::move(result_);
  }

 private:
  const TrainRow& RowAt(size_t i) const { return *rows_[sorted_[i]]; }

  // Rows [begin, end) agree on their first `common` tokens, of which the first `placed` stand in
  // `parent` and above.
  void Split(size_t begin, size_t end, int64_t placed, int64_t common, int parent) {
    if (end - begin == 1 || !options_.share_prefix) {
      for (size_t i = begin; i < end; ++i) AddSegment(i, i + 1, placed, Length(RowAt(i)), parent);
      return;
    }
    common = std::max(common, CommonPrefix(RowAt(begin), RowAt(end - 1)));
    if (common - placed >= options_.min_shared_prefix) {
      parent = AddSegment(begin, end, placed, common, parent);
      placed = common;
    }
    // Rows that end here come first in the order; the others are grouped by their next token.
    size_t i = begin;
    for (; i < end && Length(RowAt(i)) == common; ++i) AddSegment(i, i + 1, placed, common, parent);
    while (i < end) {
      size_t j = i + 1;
      while (j < end && RowAt(j).ids[common] == RowAt(i).ids[common]) ++j;
      Split(i, j, placed, common, parent);
      i = j;
    }
  }

  // Places tokens [from, to) of rows [begin, end), which share them.
  int AddSegment(size_t begin, size_t end, int64_t from, int64_t to, int parent) {
    if (from == to) return parent;
    Pack& pack = result_.pack;
    const TrainRow& row = RowAt(begin);
    const int64_t first = pack.tokens();
    pack.segments.push_back(
        {.begin = first, .end = first + to - from, .parent = parent, .context = from});
    for (int64_t i = from; i < to; ++i) {
      pack.ids.push_back(row.ids[i]);
      pack.positions.push_back(static_cast<int32_t>(i));
    }
    for (size_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < to - from; ++j) places_[i].push_back(static_cast<int32_t>(first + j));
    }
    return static_cast<int>(pack.segments.size()) - 1;
  }

  void AddEntries(size_t i) {
    const TrainRow& row = RowAt(i);
    for (size_t t = 1; t < row.ids.size(); ++t) {
      const float weight = row.weight * row.token_weights[t];
      if (weight == 0) continue;
      result_.entries.push_back({.token = places_[i][t - 1],
                                 .target = row.ids[t],
                                 .weight = weight,
                                 .row = sorted_[i],
                                 .position = static_cast<int32_t>(t)});
    }
  }

  std::span<const TrainRow* const> rows_;
  std::span<const int32_t> sorted_;
  const PackOptions& options_;
  std::vector<std::vector<int32_t>>
      places_;  // Per row: where each of its tokens stands in the pack.
  TrainPack result_;
};

}  // namespace

std::vector<TrainPack> PackRows(std::span<const TrainRow* const> rows, const PackOptions& options) {
  std::vector<int32_t> sorted(rows.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](int32_t a, int32_t b) { return rows[a]->ids < rows[b]->ids; });

  std::vector<TrainPack> packs;
  for (size_t begin = 0; begin < sorted.size();) {
    // What a row adds is what it does not share with the row before it (a little more when that is
    // under the minimum).
    int64_t tokens = Length(*rows[sorted[begin]]);
    size_t end = begin + 1;
    for (; end < sorted.size(); ++end) {
      const TrainRow& row = *rows[sorted[end]];
      const int64_t shared = options.share_prefix ? CommonPrefix(*rows[sorted[end - 1]], row) : 0;
      const int64_t added = Length(row) - (shared >= options.min_shared_prefix ? shared : 0);
      if (tokens + added > options.max_tokens) break;
      tokens += added;
    }
    packs.push_back(Builder(rows, std::span(sorted).subspan(begin, end - begin), options).Build());
    begin = end;
  }
  return packs;
}

double TotalWeight(std::span<const TrainRow* const> rows) {
  double sum = 0;
  for (const TrainRow* row : rows) {
    for (size_t t = 1; t < row->ids.size(); ++t)
      sum += static_cast<double>(row->weight) * row->token_weights[t];
  }
  return sum;
}

}  // namespace crossover::llm
