#include "common/dataset/merkle.h"

#include "common/json/digest.h"

namespace crossover::dataset {
namespace {

std::string_view View(const MerkleTree::Hash& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

// Prefixes keep a leaf from passing as a node and the other way round.
MerkleTree::Hash HashLeaf(std::string_view leaf) {
  Sha256 sha;
  sha.Update(std::string_view("\0", 1));
  sha.Update(leaf);
  return sha.FinishBytes();
}

MerkleTree::Hash HashNode(const MerkleTree::Hash& left, const MerkleTree::Hash& right) {
  Sha256 sha;
  sha.Update("\1");
  sha.Update(View(left));
  sha.Update(View(right));
  return sha.FinishBytes();
}

}  // namespace

void MerkleTree::Add(std::string_view leaf) {
  Hash hash = HashLeaf(leaf);
  // Every trailing one bit of the size is a perfect subtree as large as the one that was just
  // completed.
  for (int64_t bits = size_; bits & 1; bits >>= 1) {
    hash = HashNode(peaks_.back(), hash);
    peaks_.pop_back();
  }
  peaks_.push_back(hash);
  ++size_;
}

MerkleTree::Hash MerkleTree::Root() const {
  if (peaks_.empty()) return Sha256Of("");
  Hash root = peaks_.back();
  for (auto peak = peaks_.rbegin() + 1; peak != peaks_.rend(); ++peak) root = HashNode(*peak, root);
  return root;
}

std::string MerkleTree::RootDigest() const { return ToDigest(Root()); }

}  // namespace crossover::dataset
