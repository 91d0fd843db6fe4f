// The Merkle tree hash of RFC 6962 section 2.1, built leaf by leaf in O(log n) memory.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace crossover::dataset {

// Not thread-safe.
class MerkleTree {
 public:
  using Hash = std::array<uint8_t, 32>;

  // Appends SHA-256(0x00 || leaf).
  void Add(std::string_view leaf);

  // The root of the leaves so far; SHA-256 of nothing for an empty tree. Leaves may be added
  // afterwards.
  Hash Root() const;

  // Root as `sha256:<hex>`.
  std::string RootDigest() const;

  int64_t size() const { return size_; }

 private:
  int64_t size_ = 0;
  std::vector<Hash> peaks_;  // roots of the perfect subtrees, largest first
};

}  // namespace crossover::dataset
