// Whom the engine refuses when much waits, with a model that costs nothing.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "common/status/error.h"
#include "llm/generate/engine_loop.h"
#include "llm/generate/fake_runner.h"

namespace crossover::llm {
namespace {

// An engine of one row whose queue holds three calls, and which stands still after it has begun the
// first until Go is called.
class EngineQueueTest : public testing::Test {
 protected:
  EngineQueueTest()
      : loop_({.vocab = kFakeVocab, .positions = 512}, kFakeShape,
              {.max_batch_rows = 1, .max_queue = 3},
              std::make_unique<FakeRunner>(
                  [this, wait = go_.get_future().share(), told = false](const StepInput&) mutable {
                    if (!std::exchange(told, true)) begun_.set_value();
                    wait.wait();
                  })) {}
  // What the engine calls is gone before the engine is.
  ~EngineQueueTest() override { Go(); }

  void Go() {
    if (!std::exchange(gone_, true)) go_.set_value();
    while (ended_ < accepted_) std::this_thread::yield();
  }

  std::string Take(const absl::StatusOr<RequestId>& id) {
    accepted_ += id.ok();
    return id.ok() ? "" : DetailOf(id.status()).reason;
  }

  // "" or the reason for which it was refused.
  std::string Generate(const std::string& caller, uint64_t call = 0) {
    return Take(loop_.Submit(GenerateRequest{.prompt = {1, 2, 3},
                                             .sampling = {.temperature = 0, .max_tokens = 2},
                                             .caller = caller,
                                             .call = call},
                             nullptr, [this](const absl::StatusOr<GenerateResult>& result) {
                               EXPECT_TRUE(result.ok()) << result.status();
                               ++ended_;
                             }));
  }

  std::string Score(uint64_t call, size_t continuations) {
    return Take(loop_.Submit(
        ScoreRequest{.prompt = {1, 2},
                     .continuations = std::vector<std::vector<int32_t>>(continuations, {3, 4}),
                     .caller = "a",
                     .call = call},
        [this, continuations](const absl::StatusOr<ScoreResult>& result) {
          EXPECT_TRUE(result.ok() && result->logprobs.size() == continuations) << result.status();
          ++ended_;
        }));
  }

  std::string Embed(size_t texts) {
    return Take(loop_.Submit(
        EmbedRequest{.texts = std::vector<std::vector<int32_t>>(texts, {5}), .caller = "a"},
        [this, texts](const absl::StatusOr<EmbedResult>& result) {
          EXPECT_TRUE(result.ok() && result->embeddings.size() == texts) << result.status();
          ++ended_;
        }));
  }

  // A caller's request that is being computed, so that all that follow wait.
  void Begin(const std::string& caller) {
    ASSERT_EQ(Generate(caller), "");
    begun_.get_future().wait();
  }

  std::promise<void> go_, begun_;
  bool gone_ = false;
  std::atomic<int> ended_ = 0;
  int accepted_ = 0;
  EngineLoop loop_;
};

TEST_F(EngineQueueTest, CallsOfManySequencesAreNotRefusedByAnIdleEngine) {
  EXPECT_EQ(Embed(10), "");
  EXPECT_EQ(Score(0, 10), "");
}

TEST_F(EngineQueueTest, AnswersOfOneCallWaitAsOne) {
  Begin("a");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Generate("a", 1), "");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Score(2, 3), "");
  EXPECT_EQ(loop_.Stats().queued, 2);
  EXPECT_EQ(Embed(9), "");
  EXPECT_EQ(loop_.Stats().queued, 3);
  EXPECT_EQ(Generate("a"), "QUEUE_FULL");
  EXPECT_EQ(Embed(1), "QUEUE_FULL");
  EXPECT_EQ(Score(3, 1), "QUEUE_FULL");
  EXPECT_EQ(Score(2, 1), "");
  Go();
  EXPECT_EQ(loop_.Stats().queued, 0);
  EXPECT_EQ(Generate("a"), "");
}

TEST_F(EngineQueueTest, ACallerThatFillsTheQueueRefusesOnlyItself) {
  Begin("a");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Generate("a"), "");
  EXPECT_EQ(Generate("a"), "QUEUE_FULL");
  EXPECT_EQ(Generate("b"), "");
  EXPECT_EQ(Generate("b"), "QUEUE_FULL");
  EXPECT_EQ(Generate("c"), "");
}

}  // namespace
}  // namespace crossover::llm
