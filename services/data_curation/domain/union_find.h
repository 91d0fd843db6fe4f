// Disjoint sets with path halving; the root of a set is its least member.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

namespace crossover::curation {

class UnionFind {
 public:
  explicit UnionFind(int64_t size) : parent_(size) { std::iota(parent_.begin(), parent_.end(), 0); }

  int64_t Find(int64_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }

  void Union(int64_t a, int64_t b) {
    a = Find(a);
    b = Find(b);
    if (a < b) parent_[b] = a;
    if (b < a) parent_[a] = b;
  }

 private:
  std::vector<int64_t> parent_;
};

}  // namespace crossover::curation
