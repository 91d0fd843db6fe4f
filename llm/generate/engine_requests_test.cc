// The engine's requests other than plain generation, its fairness and its watch, with a model that
// costs nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>
#include <thread>

#include "common/status/error.h"
#include "llm/generate/engine_loop.h"
#include "llm/generate/fake_runner.h"

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;

constexpr EngineLimits kSmallLimits{.vocab = kFakeVocab, .positions = 512};

std::unique_ptr<EngineLoop> NewLoop(EngineOptions options = {},
                                    FakeRunner::OnStep on_step = nullptr) {
  return std::make_unique<EngineLoop>(kSmallLimits, kFakeShape, options,
                                      std::make_unique<FakeRunner>(std::move(on_step)));
}

absl::StatusOr<EmbedResult> Embed(EngineLoop& loop, std::vector<std::vector<int32_t>> texts) {
  std::promise<absl::StatusOr<EmbedResult>> done;
  const auto id = loop.Submit(EmbedRequest{.texts = std::move(texts)},
                              [&](absl::StatusOr<EmbedResult> result) { done.set_value(result); });
  if (!id.ok()) return id.status();
  return done.get_future().get();
}

std::string ReasonIn(const absl::Status& status) { return DetailOf(status).reason; }

TEST(EngineRequestsTest, AnEmbeddingIsTheMeanOverAllTokensHoweverTheyAreComputed) {
  // Steps of 3 tokens, and 3 pages for texts of up to 2 pages: they take turns.
  const auto loop = NewLoop({.max_step_tokens = 3, .kv_budget_bytes = 3 * 1024});
  std::vector<int32_t> longer(100);
  for (int32_t i = 0; i < 100; ++i) longer[i] = i % 20;
  for (int round = 0; round < 2; ++round) {  // The second finds the first's tokens in the cache.
    const auto result = Embed(*loop, {{4, 8, 9}, {7}, longer});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->prompt_tokens, 104);
    // A fake token's hidden state is (token, position).
    EXPECT_THAT(result->embeddings[0], ElementsAre(FloatEq(7), FloatEq(1)));
    EXPECT_THAT(result->embeddings[1], ElementsAre(FloatEq(7), FloatEq(0)));
    EXPECT_THAT(result->embeddings[2], ElementsAre(FloatEq(9.5), FloatEq(49.5)));
  }
}

TEST(EngineRequestsTest, TextsThatCannotBeEmbeddedAreNamed) {
  const auto loop = NewLoop();
  EXPECT_EQ(ReasonIn(Embed(*loop, {}).status()), "EMPTY_PROMPT");
  EXPECT_EQ(ReasonIn(Embed(*loop, {{1}, {}}).status()), "EMPTY_PROMPT");
  EXPECT_EQ(ReasonIn(Embed(*loop, {{1, kFakeVocab}}).status()), "TOKEN_OUT_OF_RANGE");
  EXPECT_EQ(ReasonIn(Embed(*loop, {std::vector<int32_t>(513, 1)}).status()), "CONTEXT_TOO_LONG");
  EXPECT_TRUE(Embed(*loop, {std::vector<int32_t>(512, 1)}).ok());
}

TEST(EngineRequestsTest, ScoresTellTheMostLikelyTokensToo) {
  const auto loop = NewLoop();
  std::promise<absl::StatusOr<ScoreResult>> done;
  ASSERT_TRUE(
      loop->Submit(
              ScoreRequest{.prompt = {1, 2}, .continuations = {{3, 4}, {5}}, .top_logprobs = 3},
              [&](absl::StatusOr<ScoreResult> result) { done.set_value(result); })
          .ok());
  const auto result = done.get_future().get();
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->top.size(), 2u);
  ASSERT_EQ(result->top[0].size(), 2u);
  ASSERT_EQ(result->top[0][1].size(), 3u);
  EXPECT_GT(result->top[0][1][0].logprob, result->top[0][1][1].logprob);
  EXPECT_EQ(
      ReasonIn(loop->Submit(ScoreRequest{.prompt = {1}, .continuations = {{2}}, .top_logprobs = 21},
                            nullptr)
                   .status()),
      "BAD_SAMPLING");
}

TEST(EngineRequestsTest, ACallerThatAsksForMuchDoesNotKeepAnotherWaiting) {
  std::promise<void> go;
  const auto loop = NewLoop({.max_batch_rows = 1},
                            [wait = go.get_future().share()](const StepInput&) { wait.wait(); });
  std::mutex mutex;
  std::vector<std::string> order;
  std::atomic<int> ended = 0;
  const auto ask = [&](const std::string& caller) {
    ASSERT_TRUE(loop->Submit(GenerateRequest{.prompt = {1, 2, 3},
                                             .sampling = {.temperature = 0, .max_tokens = 2},
                                             .caller = caller},
                             nullptr,
                             [&, caller](const absl::StatusOr<GenerateResult>&) {
                               const std::lock_guard lock(mutex);
                               order.push_back(caller);
                               ++ended;
                             })
                    .ok());
  };
  for (int i = 0; i < 6; ++i) ask("many");
  ask("one");
  go.set_value();
  while (ended < 7) std::this_thread::yield();
  // The first runs already, or two do not depend on when the thread looked.
  EXPECT_LE(std::find(order.begin(), order.end(), "one") - order.begin(), 2);
}

TEST(EngineRequestsTest, AStepThatDoesNotEndIsSeen) {
  std::promise<void> go;
  std::promise<void> inside;
  const auto loop =
      NewLoop({}, [&, wait = go.get_future().share(), told = false](const StepInput&) mutable {
        if (!std::exchange(told, true)) inside.set_value();
        wait.wait();
      });
  EXPECT_EQ(loop->Stats().stalled_seconds, 0);
  std::promise<void> done;
  ASSERT_TRUE(loop->Submit(GenerateRequest{.prompt = {1}, .sampling = {.max_tokens = 2}}, nullptr,
                           [&](const absl::StatusOr<GenerateResult>&) { done.set_value(); })
                  .ok());
  inside.get_future().wait();
  const double before = loop->Stats().stalled_seconds;
  while (loop->Stats().stalled_seconds <= before + 0.01) std::this_thread::yield();
  go.set_value();
  done.get_future().wait();
  while (loop->Stats().stalled_seconds != 0) std::this_thread::yield();
}

std::shared_ptr<LoadedAdapter> NewAdapter(const std::string& key, bool linear = true) {
  auto adapter = std::make_shared<LoadedAdapter>();
  adapter->key = key;
  adapter->rank = 4;
  adapter->linear = linear;
  adapter->shares.push_back({nullptr, 1});
  return adapter;
}

TEST(AdapterTableTest, TheSameMixIsTheSameAdapterUntilAPartChanges) {
  AdapterTable table;
  table.Add(NewAdapter("a"));
  table.Add(NewAdapter("b"));
  const auto mix = table.Mix({{"a", 0.5f}, {"b", -1}});
  ASSERT_TRUE(mix.ok()) << mix.status();
  EXPECT_EQ((*mix)->rank, 8);
  EXPECT_EQ((*mix)->shares[1].weight, -1);
  EXPECT_EQ((*table.Mix({{"a", 0.5f}, {"b", -1}}))->registration, (*mix)->registration);
  EXPECT_NE((*table.Mix({{"a", 0.5f}, {"b", 1}}))->registration, (*mix)->registration);
  EXPECT_TRUE(table.TakeForgotten().empty());
  const uint64_t old = (*table.Find("a"))->registration;
  table.Add(NewAdapter("a"));
  EXPECT_EQ(table.TakeForgotten().size(), 3u);  // The adapter and both sums.
  EXPECT_NE((*table.Find("a"))->registration, old);
  EXPECT_NE((*table.Mix({{"a", 0.5f}, {"b", -1}}))->registration, (*mix)->registration);
}

TEST(AdapterTableTest, OnlyTheLastMixesAreRemembered) {
  AdapterTable table;
  table.Add(NewAdapter("a"));
  const uint64_t first = (*table.Mix({{"a", 0}}))->registration;
  for (int i = 1; i <= 64; ++i) ASSERT_TRUE(table.Mix({{"a", static_cast<float>(i)}}).ok());
  EXPECT_THAT(table.TakeForgotten(), ElementsAre(first));
}

TEST(AdapterTableTest, WhatCannotBeMixedIsNamed) {
  AdapterTable table;
  table.Add(NewAdapter("a"));
  table.Add(NewAdapter("dora", false));
  EXPECT_EQ(ReasonIn(table.Mix({{"a", 1}, {"none", 1}}).status()), "ADAPTER_NOT_LOADED");
  EXPECT_EQ(ReasonIn(table.Mix({{"a", 1}, {"dora", 1}}).status()), "BAD_MIX");
  EXPECT_EQ(ReasonIn(table.Mix({{"a", std::numeric_limits<float>::infinity()}}).status()),
            "BAD_MIX");
  EXPECT_EQ(ReasonIn(table.Mix({{"", 1}}).status()), "BAD_MIX");
}

}  // namespace
}  // namespace crossover::llm
