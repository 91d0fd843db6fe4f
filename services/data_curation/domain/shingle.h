// A text as a set of overlapping pieces, the sets that Jaccard similarity compares.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace crossover::curation {

// 64-bit hashes, sorted, no repeats. Two different pieces share a hash with probability 2^-64.
using ShingleSet = std::vector<uint64_t>;

// Every run of `n` words of a normalised text. A text of fewer words is one shingle. Empty for a
// text without words.
ShingleSet WordShingles(std::string_view normalised, int n);

// Every run of `n` code points of the words joined by single spaces, with a space before and after,
// so that the first and the last word weigh as much as the others.
ShingleSet CharShingles(std::string_view normalised, int n);

// |a ∩ b| / |a ∪ b|; 1 for two empty sets.
double Jaccard(const ShingleSet& a, const ShingleSet& b);

}  // namespace crossover::curation
