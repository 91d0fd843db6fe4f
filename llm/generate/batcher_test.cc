#include "llm/generate/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <new>
#include <random>

#include "common/status/error.h"
#include "llm/generate/fake_runner.h"

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int32_t> Prompt(uint32_t seed, int64_t length, int64_t shared = 0) {
  std::vector<int32_t> ids;
  std::mt19937 random(1000);
  for (int64_t i = 0; i < shared; ++i) ids.push_back(static_cast<int32_t>(random() % kFakeVocab));
  random.seed(seed);
  while (static_cast<int64_t>(ids.size()) < length)
    ids.push_back(static_cast<int32_t>(random() % kFakeVocab));
  return ids;
}

// What FakeRunner continues a prompt with.
std::vector<int32_t> AnswerTo(const std::vector<int32_t>& prompt, int64_t count) {
  KvPool pool(kFakeShape, kFakeShape.page_bytes());
  KvNode node(pool);
  node.tokens = prompt;
  std::vector<int32_t> answer;
  for (int64_t i = 0; i < count; ++i) {
    const auto last = static_cast<int64_t>(node.tokens.size()) - 1;
    answer.push_back(static_cast<int32_t>(HashOfChain(node, last) >> 7) & (kFakeVocab - 1));
    node.tokens.push_back(answer.back());
  }
  return answer;
}

class BatcherTest : public testing::Test {
 protected:
  void Make(int64_t pages, EngineOptions options = {}, FakeRunner::OnStep on_step = nullptr) {
    options.kv_budget_bytes = pages * kFakeShape.page_bytes();
    batcher_ = std::make_unique<Batcher>(kFakeShape, options,
                                         std::make_unique<FakeRunner>(std::move(on_step)));
  }

  void Ask(RequestId id, std::vector<int32_t> prompt, int64_t max_tokens) {
    auto sequence = std::make_unique<Sequence>();
    sequence->id = id;
    sequence->prompt = std::move(prompt);
    sequence->sampling = {.temperature = 0, .max_tokens = max_tokens};
    sequence->on_done = [this, id](absl::StatusOr<GenerateResult> result) {
      order_.push_back(id);
      if (!result.ok()) {
        failures_[id] = result.status();
        return;
      }
      for (const GeneratedToken& token : result->tokens) answers_[id].push_back(token.id);
      results_[id] = *std::move(result);
    };
    batcher_->Enqueue(std::move(sequence));
  }

  // False if the batcher is not idle after so many steps.
  bool RunToEnd(int steps = 10000) {
    while (!batcher_->idle() && steps-- > 0) batcher_->Step();
    return batcher_->idle();
  }

  std::unique_ptr<Batcher> batcher_;
  std::vector<RequestId> order_;
  std::map<RequestId, std::vector<int32_t>> answers_;
  std::map<RequestId, GenerateResult> results_;
  std::map<RequestId, absl::Status> failures_;
};

TEST_F(BatcherTest, ARequestThatDoesNotFitBesideItsCachedBeginningIsComputedWithoutIt) {
  Make(8);
  Ask(1, Prompt(1, 250, 100), 1);
  ASSERT_TRUE(RunToEnd());
  // 100 tokens are there, in a node of 4 pages; the rest takes 7 of 8.
  Ask(2, Prompt(2, 250, 100), 262);
  ASSERT_TRUE(RunToEnd());
  EXPECT_EQ(results_[2].cached_prompt_tokens, 0);
  EXPECT_EQ(answers_[2], AnswerTo(Prompt(2, 250, 100), 262));
}

TEST_F(BatcherTest, ARequestThatFitsBesideItsCachedBeginningUsesIt) {
  Make(8);
  Ask(1, Prompt(1, 250, 100), 1);
  ASSERT_TRUE(RunToEnd());
  Ask(2, Prompt(2, 250, 100), 50);
  ASSERT_TRUE(RunToEnd());
  EXPECT_EQ(results_[2].cached_prompt_tokens, 100);
  EXPECT_EQ(answers_[2], AnswerTo(Prompt(2, 250, 100), 50));
}

TEST_F(BatcherTest, MaxTokensTakeNoMemoryBeforeTheyAreGenerated) {
  Make(16);
  for (RequestId id = 1; id <= 4; ++id) Ask(id, Prompt(id, 20), 1000);  // 16 pages each at most.
  batcher_->Step();
  EXPECT_EQ(batcher_->stats().running, 4);
}

TEST_F(BatcherTest, AnswersThatOutgrowTheCacheTakeTurnsAndStayTheSame) {
  Make(12, {.max_batch_rows = 8});
  for (RequestId id = 1; id <= 8; ++id) Ask(id, Prompt(id, 60, id % 2 == 0 ? 40 : 0), 300);
  ASSERT_TRUE(RunToEnd());
  EXPECT_GT(batcher_->stats().preemptions_total, 0);
  EXPECT_EQ(batcher_->stats().prompt_tokens_total, 8 * 60);
  for (RequestId id = 1; id <= 8; ++id) {
    EXPECT_EQ(answers_[id], AnswerTo(Prompt(id, 60, id % 2 == 0 ? 40 : 0), 300)) << id;
    EXPECT_EQ(results_[id].prompt_tokens, 60);
  }
}

TEST_F(BatcherTest, ABeginningThatGrowsUnderAnotherSequenceStopsNobody) {
  Make(10);
  // The second stands on the first's page, which becomes nine pages.
  Ask(1, Prompt(1, 60), 500);
  batcher_->Step();
  std::vector<int32_t> longer = Prompt(1, 60);
  for (const int32_t id : Prompt(2, 60)) longer.push_back(id);
  Ask(2, longer, 500);
  ASSERT_TRUE(RunToEnd());
  EXPECT_EQ(answers_[1], AnswerTo(Prompt(1, 60), 500));
  EXPECT_EQ(answers_[2], AnswerTo(longer, 500));
}

TEST_F(BatcherTest, SmallRequestsDoNotPassALargeOneThatWaitsForMemory) {
  Make(12, {.max_batch_rows = 8});
  Ask(1, Prompt(1, 60), 100);
  batcher_->Step();
  Ask(100, Prompt(100, 700), 10);  // 12 pages: all of them.
  for (RequestId id = 2; id < 20; ++id) Ask(id, Prompt(id, 60), 4);
  ASSERT_TRUE(RunToEnd());
  ASSERT_EQ(order_.size(), 20u);
  EXPECT_EQ(order_[0], 1u);
  EXPECT_EQ(order_[1], 100u);
  EXPECT_EQ(answers_[100], AnswerTo(Prompt(100, 700), 10));
}

TEST_F(BatcherTest, WhoWaitsForACommonBeginningIsPassedByOthers) {
  std::vector<size_t> rows;
  Make(64, {.max_step_tokens = 64},
       [&](const StepInput& input) { rows.push_back(input.sequences.size()); });
  Ask(1, Prompt(1, 310, 300), 1);
  Ask(2, Prompt(2, 310, 300), 1);
  Ask(3, Prompt(3, 10), 1);
  batcher_->Step();
  EXPECT_EQ(batcher_->stats().running, 2);
  EXPECT_EQ(batcher_->stats().queued, 1);
  ASSERT_TRUE(RunToEnd());
  EXPECT_EQ(results_[2].cached_prompt_tokens, 300);
}

TEST_F(BatcherTest, WhatWaitsForARequestThatIsCancelledComputesTheBeginningItself) {
  Make(64, {.max_step_tokens = 64});
  Ask(1, Prompt(1, 310, 300), 1);
  Ask(2, Prompt(2, 310, 300), 3);
  batcher_->Step();
  EXPECT_EQ(batcher_->stats().queued, 1);
  batcher_->Cancel(1);
  ASSERT_TRUE(RunToEnd());
  EXPECT_EQ(results_[1].finish, FinishReason::kCancelled);
  EXPECT_EQ(answers_[2], AnswerTo(Prompt(2, 310, 300), 3));
}

TEST_F(BatcherTest, ScoresOutgrowingTheCacheAreComplete) {
  Make(6, {.max_batch_rows = 8, .max_step_tokens = 40});
  auto group = std::make_shared<ScoreGroup>();
  absl::StatusOr<ScoreResult> scores = absl::UnknownError("not done");
  group->on_done = [&](absl::StatusOr<ScoreResult> result) { scores = std::move(result); };
  group->unfinished = 4;
  for (size_t i = 0; i < 4; ++i) {
    auto sequence = std::make_unique<Sequence>();
    sequence->id = 1;
    sequence->prompt = Prompt(static_cast<uint32_t>(i), 120);
    sequence->score = group;
    sequence->place = i;
    sequence->score_from = 20;
    for (size_t t = 21; t < 120; ++t) sequence->targets.push_back(sequence->prompt[t]);
    sequence->targets.push_back(0);
    group->result.logprobs.emplace_back(100, 1.0f);
    group->result.greedy.push_back(true);
    batcher_->Enqueue(std::move(sequence));
  }
  Ask(2, Prompt(9, 60), 250);
  ASSERT_TRUE(RunToEnd());
  ASSERT_TRUE(scores.ok()) << scores.status();
  for (const std::vector<float>& logprobs : scores->logprobs) {
    for (const float logprob : logprobs) EXPECT_LT(logprob, 0);
  }
  EXPECT_THAT(scores->greedy, ElementsAre(false, false, false, false));
  EXPECT_EQ(answers_[2], AnswerTo(Prompt(9, 60), 250));
}

TEST_F(BatcherTest, AContinuationIsGreedyWhenEveryTokenIsTheMostLikely) {
  Make(64, {.max_step_tokens = 7});
  const std::vector<int32_t> prompt = Prompt(1, 20), answer = AnswerTo(prompt, 10);
  auto group = std::make_shared<ScoreGroup>();
  absl::StatusOr<ScoreResult> scores = absl::UnknownError("not done");
  group->on_done = [&](absl::StatusOr<ScoreResult> result) { scores = std::move(result); };
  group->unfinished = 11;
  for (size_t i = 0; i < 11; ++i) {  // The last is the answer; the others differ in one place.
    auto sequence = std::make_unique<Sequence>();
    sequence->targets = answer;
    if (i < 10) sequence->targets[i] = (answer[i] + 1) % static_cast<int32_t>(kFakeVocab);
    sequence->prompt = prompt;
    sequence->prompt.insert(sequence->prompt.end(), sequence->targets.begin(),
                            sequence->targets.end() - 1);
    sequence->score = group;
    sequence->place = i;
    sequence->score_from = 19;
    group->result.logprobs.emplace_back(10);
    group->result.greedy.push_back(true);
    batcher_->Enqueue(std::move(sequence));
  }
  ASSERT_TRUE(RunToEnd());
  ASSERT_TRUE(scores.ok()) << scores.status();
  for (size_t i = 0; i < 11; ++i) EXPECT_EQ(scores->greedy[i], i == 10) << i;
}

TEST_F(BatcherTest, AStepWithoutMemoryFailsItsRequestsAndNothingElse) {
  bool fail = true;
  Make(64, {}, [&](const StepInput&) {
    if (fail) throw std::bad_alloc();
  });
  Ask(1, Prompt(1, 20), 5);
  batcher_->Step();
  EXPECT_EQ(DetailOf(failures_[1]).reason, "GENERATION_FAILED");
  EXPECT_TRUE(batcher_->idle());
  fail = false;
  Ask(2, Prompt(1, 20), 5);
  ASSERT_TRUE(RunToEnd());
  EXPECT_EQ(answers_[2], AnswerTo(Prompt(1, 20), 5));
}

// A page of this many bytes cannot be had.
TEST_F(BatcherTest, APageThatCannotBeAllocatedFailsTheRequestThatNeedsIt) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "sanitizers end the process when it asks for that much";
#endif
  const KvShape huge{.layers = 1 << 20, .kv_heads = 1 << 10, .head_dim = 1 << 12, .item_bytes = 4};
  batcher_ = std::make_unique<Batcher>(
      huge, EngineOptions{.kv_budget_bytes = std::numeric_limits<int64_t>::max()},
      std::make_unique<FakeRunner>());
  Ask(1, Prompt(1, 20), 5);
  Ask(2, Prompt(2, 20), 5);
  ASSERT_TRUE(RunToEnd(10));
  EXPECT_THAT(order_, ElementsAre(1, 2));
  EXPECT_EQ(DetailOf(failures_[1]).reason, "GENERATION_FAILED");
  EXPECT_THAT(answers_, IsEmpty());
}

}  // namespace
}  // namespace crossover::llm
