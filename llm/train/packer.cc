#include "llm/train/packer.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

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

// Rows that stand together because they share tokens: [begin, end) of the sorted rows.
struct Bundle {
  size_t begin = 0;
  size_t end = 0;
  int64_t tokens = 0;  // What the rows add up to, shared tokens once.
};

// Cuts the sorted rows where they share too little, and where a bundle would exceed a pack.
std::vector<Bundle> Bundles(std::span<const TrainRow* const> rows, std::span<const int32_t> sorted,
                            const PackOptions& options) {
  std::vector<Bundle> bundles;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const TrainRow& row = *rows[sorted[i]];
    // What a row adds is what it does not share with the row before it (a little more when that is
    // under the minimum).
    const int64_t shared =
        i > 0 && options.share_prefix ? CommonPrefix(*rows[sorted[i - 1]], row) : 0;
    const int64_t added = Length(row) - shared;
    if (shared > 0 && shared >= options.min_shared_prefix &&
        bundles.back().tokens + added <= options.max_tokens) {
      bundles.back().end = i + 1;
      bundles.back().tokens += added;
    } else {
      bundles.push_back({.begin = i, .end = i + 1, .tokens = Length(row)});
    }
  }
  return bundles;
}

// The rows of each pack, in sorted order: best-fit decreasing. Of all packs with room the fullest
// takes the next smaller bundle.
std::vector<std::vector<int32_t>> BestFit(std::vector<Bundle> bundles,
                                          std::span<const int32_t> sorted, int64_t max_tokens) {
  std::stable_sort(bundles.begin(), bundles.end(),
                   [](const Bundle& a, const Bundle& b) { return a.tokens > b.tokens; });
  std::vector<std::vector<Bundle>> packs;
  std::set<std::pair<int64_t, size_t>> room;  // Tokens that still fit, pack.
  for (const Bundle& bundle : bundles) {
    auto fit = room.lower_bound({bundle.tokens, 0});
    size_t pack = packs.size();
    int64_t free = std::max<int64_t>(0, max_tokens - bundle.tokens);
    if (fit == room.end()) {
      packs.emplace_back();
    } else {
      pack = fit->second;
      free = fit->first - bundle.tokens;
      room.erase(fit);
    }
    packs[pack].push_back(bundle);
    room.insert({free, pack});
  }
  std::vector<std::vector<int32_t>> members;
  for (std::vector<Bundle>& pack : packs) {
    std::sort(pack.begin(), pack.end(),
              [](const Bundle& a, const Bundle& b) { return a.begin < b.begin; });
    std::vector<int32_t>& rows = members.emplace_back();
    for (const Bundle& bundle : pack)
      rows.insert(rows.end(), sorted.begin() + bundle.begin, sorted.begin() + bundle.end);
  }
  return members;
}

}  // namespace

std::vector<TrainPack> PackRows(std::span<const TrainRow* const> rows, const PackOptions& options) {
  std::vector<int32_t> sorted(rows.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](int32_t a, int32_t b) { return rows[a]->ids < rows[b]->ids; });
  std::vector<TrainPack> packs;
  for (const std::vector<int32_t>& members :
       BestFit(Bundles(rows, sorted, options), sorted, options.max_tokens))
    packs.push_back(Builder(rows, members, options).Build());
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
