#include "llm/generate/kv_cache.h"

#include <gtest/gtest.h>

namespace crossover::llm {
namespace {

class PrefixTreeTest : public testing::Test {
 protected:
  std::shared_ptr<KvNode> Add(std::vector<int32_t> tokens, std::shared_ptr<KvNode> parent = nullptr,
                              int64_t used = 0) {
    auto node = std::make_shared<KvNode>(pool_);
    node->tokens = std::move(tokens);
    node->computed = static_cast<int64_t>(node->tokens.size());
    node->parent = std::move(parent);
    node->parent_used = used;
    node->pages.push_back(pool_.Take());
    tree_.Add(node);
    return node;
  }

  KvMatch Find(const KvOwner& owner, const std::vector<int32_t>& tokens, bool planned) const {
    return tree_.Find(owner, tokens, planned);
  }

  KvPool pool_{{.layers = 1, .kv_heads = 1, .head_dim = 2, .item_bytes = 4}, 4 * 1024};
  PrefixTree tree_;
};

TEST_F(PrefixTreeTest, PoolHandsOutItsBudgetAndNoMore) {
  ASSERT_EQ(pool_.total_pages(), 4);
  std::vector<std::byte*> pages;
  for (int i = 0; i < 4; ++i) pages.push_back(pool_.Take());
  EXPECT_EQ(pool_.Take(), nullptr);
  pool_.Return(pages[1]);
  EXPECT_EQ(pool_.Take(), pages[1]);
}

TEST_F(PrefixTreeTest, LongestCommonBeginningRunsThroughBranches) {
  const auto root = Add({1, 2, 3, 4});
  const auto branch = Add({7, 8}, root, 2);
  const auto leaf = Add({9}, branch, 1);
  const KvMatch match = Find({}, {1, 2, 7, 9, 5}, false);
  EXPECT_EQ(match.node, leaf);
  EXPECT_EQ(match.length, 4);
  const KvMatch middle = Find({}, {1, 2, 3, 5}, false);
  EXPECT_EQ(middle.node, root);
  EXPECT_EQ(middle.used, 3);
  EXPECT_EQ(Find({}, {5}, false).node, nullptr);
}

TEST_F(PrefixTreeTest, OnlyComputedTokensCountUnlessPlanned) {
  const auto node = Add({1, 2, 3, 4});
  node->computed = 2;
  EXPECT_EQ(Find({}, {1, 2, 3, 4}, false).length, 2);
  EXPECT_EQ(Find({}, {1, 2, 3, 4}, true).length, 4);
}

TEST_F(PrefixTreeTest, OwnersShareNothing) {
  Add({1, 2, 3})->owner = {.adapter = 1, .salt = "a"};
  EXPECT_EQ(Find({.adapter = 1, .salt = "a"}, {1, 2, 3}, false).length, 3);
  EXPECT_EQ(Find({.adapter = 2, .salt = "a"}, {1, 2, 3}, false).length, 0);
  EXPECT_EQ(Find({.adapter = 1, .salt = "b"}, {1, 2, 3}, false).length, 0);
}

TEST_F(PrefixTreeTest, EvictionTakesTheLeastRecentlyUsedAndNeverWhatIsInUse) {
  auto used = Add({1});
  auto parent = Add({2});
  auto old = Add({3});
  auto child = Add({4}, parent, 1);
  tree_.Touch(*old);
  parent = nullptr;
  old = nullptr;
  child = nullptr;
  EXPECT_EQ(pool_.free_pages(), 0);
  EXPECT_TRUE(tree_.Evict(pool_, 1));
  EXPECT_EQ(Find({}, {2, 4}, false).length, 1);  // The child went, its parent stayed.
  EXPECT_EQ(Find({}, {3}, false).length, 1);
  EXPECT_TRUE(tree_.Evict(pool_, 3));
  EXPECT_FALSE(tree_.Evict(pool_, 4));
  EXPECT_EQ(Find({}, {1}, false).length, 1);
}

TEST_F(PrefixTreeTest, ForgottenAdapterLeavesNothing) {
  auto parent = Add({1});
  parent->owner = {.adapter = 5};
  Add({2}, parent, 1)->owner = {.adapter = 5};
  parent = nullptr;
  tree_.Forget(5);
  EXPECT_EQ(pool_.used_pages(), 0);
}

}  // namespace
}  // namespace crossover::llm
