#include "llm/generate/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace crossover::llm {

namespace {

constexpr std::align_val_t kAlignment{64};

int64_t CommonLength(const std::vector<int32_t>& node, int64_t limit,
                     std::span<const int32_t> tokens, int64_t from) {
  const int64_t n = std::min(limit, static_cast<int64_t>(tokens.size()) - from);
  int64_t i = 0;
  while (i < n && node[i] == tokens[from + i]) ++i;
  return i;
}

}  // namespace

KvPool::KvPool(KvShape shape, int64_t budget_bytes)
    : shape_(shape), total_(std::max<int64_t>(1, budget_bytes / shape.page_bytes())) {}

void KvPool::Free::operator()(std::byte* page) const { ::operator delete(page, kAlignment); }

std::byte* KvPool::Take() {
  if (used_ == total_) return nullptr;
  if (free_.empty()) {
    memory_.emplace_back(static_cast<std::byte*>(::operator new(shape_.page_bytes(), kAlignment)));
    free_.push_back(memory_.back().get());
  }
  std::byte* page = free_.back();
  free_.pop_back();
  ++used_;
  // Unwritten places are multiplied by a weight of zero, so they must be finite.
  std::memset(page, 0, shape_.page_bytes());
  return page;
}

void KvPool::Return(std::byte* page) {
  free_.push_back(page);
  --used_;
}

KvNode::~KvNode() {
  for (std::byte* page : pages) pool.Return(page);
}

KvMatch PrefixTree::Find(const KvOwner& owner, std::span<const int32_t> tokens,
                         bool planned) const {
  KvMatch best;
  for (const std::shared_ptr<KvNode>& node : nodes_) {
    if (node->parent != nullptr || !(node->owner == owner)) continue;
    const int64_t limit = planned ? static_cast<int64_t>(node->tokens.size()) : node->computed;
    const int64_t length = CommonLength(node->tokens, limit, tokens, 0);
    if (length == 0) continue;
    KvMatch match = Below({node, length, length}, tokens, planned);
    if (match.length > best.length) best = std::move(match);
  }
  return best;
}

KvMatch PrefixTree::Below(const KvMatch& match, std::span<const int32_t> tokens,
                          bool planned) const {
  KvMatch best = match;
  const int64_t start = match.length - match.used;
  for (const std::shared_ptr<KvNode>& node : nodes_) {
    if (node->parent != match.node || node->parent_used > match.used) continue;
    const int64_t from = start + node->parent_used;
    const int64_t limit = planned ? static_cast<int64_t>(node->tokens.size()) : node->computed;
    const int64_t length = CommonLength(node->tokens, limit, tokens, from);
    if (length == 0) continue;
    KvMatch deeper = Below({node, length, from + length}, tokens, planned);
    if (deeper.length > best.length) best = std::move(deeper);
  }
  return best;
}

void PrefixTree::Add(std::shared_ptr<KvNode> node) {
  Touch(*node);
  nodes_.push_back(std::move(node));
}

bool PrefixTree::Evict(const KvPool& pool, int64_t pages) {
  while (pool.free_pages() < pages) {
    auto oldest = nodes_.end();
    for (auto it = nodes_.begin(); it != nodes_.end(); ++it) {
      if (Unused(*it) && (oldest == nodes_.end() || (*it)->last_used < (*oldest)->last_used))
        oldest = it;
    }
    if (oldest == nodes_.end()) return false;
    nodes_.erase(oldest);
  }
  return true;
}

void PrefixTree::Forget(uint64_t adapter) {
  // A node becomes unused when its children go, so go over the list until nothing changes.
  for (bool changed = true; changed;) {
    changed = std::erase_if(nodes_, [&](const auto& node) {
                return node->owner.adapter == adapter && Unused(node);
              }) > 0;
  }
}

int64_t PrefixTree::cached_pages() const {
  int64_t pages = 0;
  for (const auto& node : nodes_) {
    if (Unused(node)) pages += static_cast<int64_t>(node->pages.size());
  }
  return pages;
}

}  // namespace crossover::llm
