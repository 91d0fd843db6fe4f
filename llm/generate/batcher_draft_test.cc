// Guessed tokens: the same answers in fewer steps.
#include <gtest/gtest.h>

#include <map>

#include "llm/generate/batcher.h"
#include "llm/generate/fake_runner.h"

namespace crossover::llm {
namespace {

// Answers that repeat themselves now and then: the next token depends on the last two, and every
// 7th position breaks the pattern.
int32_t AlmostPeriodic(const KvNode& node, int64_t last) {
  const int64_t position = node.start() + last;
  const int32_t token = node.tokens[last];
  return position % 7 == 6 ? (token * 5 + 3) % kFakeVocab : (token + 1) % 6;
}

class BatcherDraftTest : public testing::Test {
 protected:
  struct Outcome {
    std::map<RequestId, std::vector<int32_t>> answers;
    EngineStats stats;
    int64_t most_rows = 0;
  };

  Outcome Run(EngineOptions options, int requests, int64_t max_tokens,
              std::vector<int32_t> stop_ids = {}) {
    Outcome outcome;
    options.kv_budget_bytes = 40 * kFakeShape.page_bytes();
    Batcher batcher(kFakeShape, options,
                    std::make_unique<FakeRunner>(
                        [&](const StepInput& input) {
                          outcome.most_rows = std::max<int64_t>(
                              outcome.most_rows, static_cast<int64_t>(input.ids.size()));
                        },
                        AlmostPeriodic));
    for (int i = 0; i < requests; ++i) {
      auto sequence = std::make_unique<Sequence>();
      sequence->id = static_cast<RequestId>(i);
      sequence->prompt = {i % 5, 1, 2, 3};
      sequence->sampling = {.temperature = 0, .max_tokens = max_tokens, .stop_ids = stop_ids};
      sequence->on_done = [&outcome, i](absl::StatusOr<GenerateResult> result) {
        ASSERT_TRUE(result.ok());
        for (const GeneratedToken& token : result->tokens)
          outcome.answers[static_cast<RequestId>(i)].push_back(token.id);
      };
      batcher.Enqueue(std::move(sequence));
    }
    for (int step = 0; step < 5000 && !batcher.idle(); ++step) batcher.Step();
    EXPECT_TRUE(batcher.idle());
    outcome.stats = batcher.stats();
    return outcome;
  }
};

TEST_F(BatcherDraftTest, TheAnswerIsTheSameInFewerSteps) {
  for (const int64_t tokens : {1, 2, 63, 64, 65, 300}) {
    const Outcome plain = Run({.speculative_rows = 0}, 1, tokens);
    const Outcome guessed = Run({.speculative_rows = 8}, 1, tokens);
    EXPECT_EQ(guessed.answers, plain.answers) << tokens;
    EXPECT_EQ(plain.stats.drafted_tokens_total, 0);
    EXPECT_LE(guessed.most_rows, 8);
    EXPECT_EQ(guessed.stats.generated_tokens_total, tokens);
    if (tokens < 63) continue;
    EXPECT_LT(guessed.stats.steps_total * 3, plain.stats.steps_total * 2);
  }
}

TEST_F(BatcherDraftTest, SequencesShareTheRowsThatAreLeft) {
  const Outcome plain = Run({.max_batch_rows = 4, .speculative_rows = 0}, 9, 50);
  const Outcome guessed = Run({.max_batch_rows = 4, .speculative_rows = 8}, 9, 50);
  EXPECT_EQ(guessed.answers, plain.answers);
  EXPECT_LE(guessed.most_rows, 16);  // 4 prompts of 4 tokens.
  EXPECT_GT(guessed.stats.accepted_drafts_total, 50);
  EXPECT_LT(guessed.stats.steps_total, plain.stats.steps_total);
}

TEST_F(BatcherDraftTest, AFullBatchGuessesNothing) {
  const Outcome full = Run({.max_batch_rows = 8, .speculative_rows = 8}, 8, 40);
  EXPECT_EQ(full.stats.drafted_tokens_total, 0);
}

TEST_F(BatcherDraftTest, AStopAmongGuessesEndsTheAnswer) {
  const Outcome plain = Run({.speculative_rows = 0}, 5, 200, {17, 23});
  const Outcome guessed = Run({.speculative_rows = 16}, 5, 200, {17, 23});
  EXPECT_EQ(guessed.answers, plain.answers);
}

TEST_F(BatcherDraftTest, AnswersThatTakeTurnsAreTheSame) {
  // 6 answers of up to 5 pages in 40 pages' place for one batch of 3.
  const Outcome plain = Run({.max_batch_rows = 3, .speculative_rows = 0}, 6, 290);
  const Outcome guessed = Run({.max_batch_rows = 3, .speculative_rows = 12}, 6, 290);
  EXPECT_EQ(guessed.answers, plain.answers);
}

}  // namespace
}  // namespace crossover::llm
