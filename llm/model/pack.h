// Several token sequences laid out one after the other, sharing common prefixes.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace crossover::llm {

// Tokens [begin, end) of a pack. They attend to all tokens of their ancestors and causally to each
// other.
struct Segment {
  int64_t begin = 0;
  int64_t end = 0;
  int parent = -1;  // Index of the segment that stands before this one, or -1. Parents come first.
  int64_t context = 0;  // Tokens of all ancestors: position of the first token.

  int64_t size() const { return end - begin; }
};

// A forest of segments. Every root-to-leaf path is one sequence.
struct Pack {
  std::vector<int32_t> ids;
  std::vector<int32_t> positions;  // In their own sequence.
  std::vector<Segment> segments;   // Contiguous, in order, covering ids.

  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
};

// One sequence without sharing.
Pack PackOf(const std::vector<int32_t>& ids);

// Ranges [begin, end) of tokens that segment `index` sees before itself, outermost ancestor first.
std::vector<std::pair<int64_t, int64_t>> AncestorRanges(const Pack& pack, int index);

}  // namespace crossover::llm
