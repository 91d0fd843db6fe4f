// The bytes of a model's tokens as a tree, so that tokens with a common beginning are tried
// together.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace crossover::llm {

// Immutable and thread-safe.
class TokenVocabulary {
 public:
  // `bytes` by token id. Tokens with none (control tokens) are never part of a text.
  explicit TokenVocabulary(std::vector<std::string> bytes);

  int32_t size() const { return static_cast<int32_t>(bytes_.size()); }
  std::string_view Bytes(int32_t id) const;
  // Bytes of the longest token.
  int longest() const { return longest_; }

  // A node of the tree; nodes are in preorder, node 0 is the root.
  struct Node {
    uint8_t byte = 0;    // That leads here.
    uint16_t depth = 0;  // Bytes from the root.
    int32_t end = 0;     // One after the last node below this one.
    int32_t token = 0;   // tokens()[token] … are the ids that end here.
    int32_t tokens = 0;
  };
  const std::vector<Node>& nodes() const { return nodes_; }
  std::span<const int32_t> TokensAt(const Node& node) const {
    return {ids_.data() + node.token, static_cast<size_t>(node.tokens)};
  }

 private:
  std::vector<std::string> bytes_;
  std::vector<int32_t> ids_;  // By bytes.
  std::vector<Node> nodes_;
  int longest_ = 0;
};

}  // namespace crossover::llm
