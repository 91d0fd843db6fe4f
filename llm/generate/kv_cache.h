// Keys and values of token sequences in pages, shared between sequences that begin alike. No torch.
//
// A node holds consecutive tokens of one sequence. A sequence is a chain of nodes: it uses the
// first `used` tokens of each ancestor and all of its own tail, so a sequence may branch off in the
// middle of a node without copying or splitting it. Pages keep keys and values as the operands that
// attention multiplies with (llm/model/kernels.h), so nothing is packed again:
//   keys   of one layer and head: tile [head_dim][64], values: tile [64][head_dim]; bf16 in pairs
//   along the summed dimension.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace crossover::llm {

inline constexpr int64_t kPageTokens = 64;

// What one number of a page is and how a page is laid out.
struct KvShape {
  int64_t layers = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t item_bytes = 2;

  int64_t tile_numbers() const { return kPageTokens * head_dim; }
  int64_t page_bytes() const { return layers * kv_heads * 2 * tile_numbers() * item_bytes; }
  // Byte offset of the key tile (kind 0) or value tile (kind 1) in a page.
  int64_t TileOffset(int64_t layer, int64_t kv_head, int64_t kind) const {
    return ((layer * kv_heads + kv_head) * 2 + kind) * tile_numbers() * item_bytes;
  }
};

// Hands out zeroed pages up to a budget and keeps returned ones for reuse. One thread.
class KvPool {
 public:
  KvPool(KvShape shape, int64_t budget_bytes);

  const KvShape& shape() const { return shape_; }
  int64_t total_pages() const { return total_; }
  int64_t used_pages() const { return used_; }
  int64_t free_pages() const { return total_ - used_; }

  // nullptr when the budget is used up.
  std::byte* Take();
  void Return(std::byte* page);

 private:
  struct Free {
    void operator()(std::byte* page) const;
  };
  KvShape shape_;
  int64_t total_;
  int64_t used_ = 0;
  std::vector<std::unique_ptr<std::byte, Free>> memory_;
  std::vector<std::byte*> free_;
};

// Who may share: the registration of an adapter and the caller's salt.
struct KvOwner {
  uint64_t adapter = 0;
  std::string salt;

  bool operator==(const KvOwner&) const = default;
};

struct KvNode {
  explicit KvNode(KvPool& pool) : pool(pool) {}
  ~KvNode();
  KvNode(const KvNode&) = delete;
  KvNode& operator=(const KvNode&) = delete;

  int64_t start() const {
    return parent == nullptr ? 0 : parent->start() + parent_used;
  }  // Position of the first token.

  KvPool& pool;
  KvOwner owner;
  std::shared_ptr<KvNode> parent;
  int64_t parent_used = 0;      // Tokens of the parent this node stands on.
  std::vector<int32_t> tokens;  // Known tokens; the first `computed` have keys and values.
  int64_t computed = 0;
  std::vector<std::byte*> pages;
  uint64_t last_used = 0;
};

// A common beginning: the first `used` tokens of `node` and what it stands on, `length` tokens in
// all.
struct KvMatch {
  std::shared_ptr<KvNode> node;
  int64_t used = 0;
  int64_t length = 0;
};

// All nodes that can be shared. One thread.
class PrefixTree {
 public:
  // The longest common beginning with `tokens`. `planned`: counts tokens that are known but not
  // computed yet.
  KvMatch Find(const KvOwner& owner, std::span<const int32_t> tokens, bool planned) const;

  void Add(std::shared_ptr<KvNode> node);
  // Drops unused nodes, least recently used first, until the pool has `pages` free pages. False if
  // it cannot.
  bool Evict(const KvPool& pool, int64_t pages);
  // Drops every unused node of a registration; used ones go when their sequences end and Evict
  // meets them.
  void Forget(uint64_t adapter);

  void Touch(KvNode& node) { node.last_used = ++clock_; }

  int64_t cached_pages() const;  // Of nodes that no sequence uses.

 private:
  // Used by the tree alone: no sequence, no child.
  static bool Unused(const std::shared_ptr<KvNode>& node) { return node.use_count() == 1; }
  KvMatch Below(const KvMatch& match, std::span<const int32_t> tokens, bool planned) const;

  std::list<std::shared_ptr<KvNode>> nodes_;
  uint64_t clock_ = 0;
};

}  // namespace crossover::llm
