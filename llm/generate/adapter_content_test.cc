// Which adapters share cached prefixes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "llm/generate/adapter_table.h"
#include "llm/generate/engine_loop.h"
#include "llm/generate/fake_runner.h"

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::shared_ptr<LoadedAdapter> AdapterOf(const std::string& key, const std::string& content) {
  auto adapter = std::make_shared<LoadedAdapter>();
  adapter->key = key;
  adapter->content = content;
  adapter->shares.push_back({nullptr, 1});
  return adapter;
}

class AdapterContentTest : public testing::Test {
 protected:
  uint64_t Add(const std::string& key, const std::string& content) {
    table_.Add(AdapterOf(key, content));
    return (*table_.Find(key))->registration;
  }
  void Remove(const std::string& key) { EXPECT_TRUE(table_.Remove(key).ok()); }

  AdapterTable table_;
};

TEST_F(AdapterContentTest, WhatComesBackIsWhatItWas) {
  const uint64_t first = Add("a", "1");
  Remove("a");
  EXPECT_THAT(table_.TakeForgotten(), IsEmpty());
  EXPECT_EQ(Add("a", "1"), first);
  EXPECT_EQ(Add("a", "1"), first);
  EXPECT_THAT(table_.TakeForgotten(), IsEmpty());
}

TEST_F(AdapterContentTest, AnotherContentUnderTheSameKeyIsAnotherAdapter) {
  const uint64_t first = Add("a", "1");
  const uint64_t second = Add("a", "2");
  EXPECT_NE(second, first);
  EXPECT_EQ(Add("a", "1"), first);
  EXPECT_EQ(Add("b", "2"), second);
}

TEST_F(AdapterContentTest, OneContentUnderTwoKeysIsOneUntilBothAreGone) {
  const uint64_t first = Add("a", "1");
  EXPECT_EQ(Add("b", "1"), first);
  Remove("a");
  Remove("b");
  EXPECT_EQ(Add("c", "1"), first);
}

TEST_F(AdapterContentTest, WithoutContentEachIsItsOwn) {
  const uint64_t first = Add("a", "");
  Remove("a");
  EXPECT_THAT(table_.TakeForgotten(), ElementsAre(first));
  EXPECT_NE(Add("a", ""), first);
}

TEST_F(AdapterContentTest, MixesEndWithTheirParts) {
  Add("a", "1");
  const uint64_t mix = (*table_.Mix({{"a", 0.5f}}))->registration;
  Remove("a");
  EXPECT_THAT(table_.TakeForgotten(), ElementsAre(mix));
  Add("a", "1");
  EXPECT_NE((*table_.Mix({{"a", 0.5f}}))->registration, mix);
}

TEST_F(AdapterContentTest, OnlyTheLastUnloadedAreRemembered) {
  const uint64_t first = Add("a", "first");
  Remove("a");
  for (int i = 0; i < 1024; ++i) {
    Add("a", std::to_string(i));
    Remove("a");
  }
  EXPECT_THAT(table_.TakeForgotten(), ElementsAre(first));
  EXPECT_NE(Add("a", "first"), first);
}

TEST(AdapterContentLoopTest, AnAdapterThatWasPushedOutFindsItsPrefixesAgain) {
  EngineLoop loop({.vocab = kFakeVocab, .positions = 512}, kFakeShape, {},
                  std::make_unique<FakeRunner>());
  const auto cached = [&](const std::string& content) {
    loop.AddAdapter(AdapterOf("a", content));
    std::promise<int64_t> tokens;
    const auto id = loop.Submit(GenerateRequest{.adapter = "a",
                                                .prompt = std::vector<int32_t>(40, 1),
                                                .sampling = {.temperature = 0, .max_tokens = 1}},
                                nullptr, [&](const absl::StatusOr<GenerateResult>& result) {
                                  tokens.set_value(result.ok() ? result->cached_prompt_tokens : -1);
                                });
    EXPECT_TRUE(id.ok()) << id.status();
    const int64_t count = tokens.get_future().get();
    EXPECT_TRUE(loop.RemoveAdapter("a").ok());
    return count;
  };
  EXPECT_EQ(cached("1"), 0);
  EXPECT_EQ(cached("2"), 0);
  EXPECT_EQ(cached("1"), 39);
  EXPECT_EQ(cached(""), 0);
  EXPECT_EQ(cached(""), 0);
}

}  // namespace
}  // namespace crossover::llm
