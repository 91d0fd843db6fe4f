// The engine's threads, queue and adapters, with a model that costs nothing.
#include "llm/generate/engine_loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "common/status/error.h"
#include "llm/generate/fake_runner.h"

namespace crossover::llm {
namespace {

constexpr EngineLimits kLimits{.vocab = kFakeVocab, .positions = 512};

std::unique_ptr<EngineLoop> Make(EngineOptions options = {}, FakeRunner::OnStep on_step = nullptr) {
  options.token_bytes = [](int32_t id) { return std::string(1, static_cast<char>('a' + id % 26)); };
  return std::make_unique<EngineLoop>(kLimits, kFakeShape, options,
                                      std::make_unique<FakeRunner>(std::move(on_step)));
}

GenerateRequest Ask(int32_t first, int64_t max_tokens) {
  return {.prompt = {first, 1, 2, 3}, .sampling = {.temperature = 0, .max_tokens = max_tokens}};
}

std::shared_ptr<LoadedAdapter> Adapter(const std::string& key) {
  auto adapter = std::make_shared<LoadedAdapter>();
  adapter->key = key;
  return adapter;
}

std::string ReasonOf(const absl::Status& status) { return DetailOf(status).reason; }

TEST(EngineLoopTest, ManyThreadsAskCancelAndChangeAdaptersAndEveryRequestEndsOnce) {
  constexpr int kThreads = 6, kRequests = 40;
  // 8 pages: requests are preempted too.
  const auto loop = Make({.max_batch_rows = 4, .kv_budget_bytes = 8 * 1024});
  std::atomic<int> accepted = 0, ended = 0, deltas = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRequests; ++i) {
        GenerateRequest request = Ask(t, 20 + (i % 5) * 60);
        if (i % 4 == 1) request.adapter = "a";
        const auto id = loop->Submit(
            std::move(request), [&](const GenerateDelta&) { ++deltas; },
            [&](const absl::StatusOr<GenerateResult>&) { ++ended; });
        if (id.ok()) {
          ++accepted;
          if (i % 7 == 0) loop->Cancel(*id);
        } else {
          EXPECT_EQ(ReasonOf(id.status()), "ADAPTER_NOT_LOADED");
        }
        (void)loop->Stats();
      }
    });
  }
  std::thread adapters([&] {
    for (int i = 0; i < 50; ++i) {
      loop->AddAdapter(Adapter("a"));
      (void)loop->Adapters();
      if (i % 3 == 0) {
        EXPECT_TRUE(loop->RemoveAdapter("a").ok());
      }
    }
  });
  for (std::thread& thread : threads) thread.join();
  adapters.join();
  while (ended < accepted) std::this_thread::yield();
  EXPECT_GT(accepted, kThreads * kRequests / 2);
  EXPECT_GT(deltas, 0);
}

TEST(EngineLoopTest, DestructionEndsWhatRunsAndWhatWaits) {
  std::atomic<int> cancelled = 0;
  {
    const auto loop = Make({.max_batch_rows = 2});
    for (int i = 0; i < 9; ++i) {
      ASSERT_TRUE(loop->Submit(Ask(i, 500), nullptr,
                               [&](absl::StatusOr<GenerateResult> r) {
                                 cancelled += r.ok() && r->finish == FinishReason::kCancelled;
                               })
                      .ok());
    }
  }
  EXPECT_EQ(cancelled, 9);
}

TEST(EngineLoopTest, TheQueueHasABoundAndCountsWhatWaitsOnly) {
  std::promise<void> go;
  const auto loop = Make({.max_batch_rows = 1, .max_queue = 3},
                         [wait = go.get_future().share()](const StepInput&) { wait.wait(); });
  std::atomic<int> ended = 0;
  int accepted = 0;
  absl::Status refused;
  while (refused.ok() && accepted < 20) {
    const auto id =
        loop->Submit(Ask(1, 5), nullptr, [&](const absl::StatusOr<GenerateResult>&) { ++ended; });
    accepted += id.ok();
    refused = id.status();
  }
  EXPECT_EQ(ReasonOf(refused), "QUEUE_FULL");
  EXPECT_GE(accepted, 3);
  go.set_value();
  while (ended < accepted) std::this_thread::yield();
}

TEST(EngineLoopTest, ARequestThatCanNeverFitIsInvalidWhicheverLimitItPasses) {
  const auto wide = Make();
  EXPECT_EQ(wide->max_sequence_tokens(), 512);
  absl::Status status = wide->Submit(Ask(1, 509), nullptr, nullptr).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), "CONTEXT_TOO_LONG");
  EXPECT_EQ(ReasonOf(wide->Submit(GenerateRequest{.prompt = std::vector<int32_t>(512, 1)}, nullptr,
                                  nullptr)
                         .status()),
            "CONTEXT_TOO_LONG");
  EXPECT_TRUE(wide->Submit(Ask(1, 508), nullptr, nullptr).ok());

  const auto narrow = Make({.kv_budget_bytes = 2 * 1024});
  EXPECT_EQ(narrow->max_sequence_tokens(), 128);
  status = narrow->Submit(Ask(1, 125), nullptr, nullptr).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find("128"), std::string::npos);
  EXPECT_EQ(ReasonOf(narrow
                         ->Submit(ScoreRequest{.prompt = {1},
                                               .continuations = {std::vector<int32_t>(128, 2)}},
                                  nullptr)
                         .status()),
            "CONTEXT_TOO_LONG");
  EXPECT_TRUE(narrow->Submit(Ask(1, 124), nullptr, nullptr).ok());
}

}  // namespace
}  // namespace crossover::llm
