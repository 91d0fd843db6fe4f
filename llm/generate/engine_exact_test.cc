// What an answer does not depend on: other requests in the batch, guesses, and how a prompt is cut
// into steps; in each number type of the base and of the weights.
#include <gtest/gtest.h>

#include <cstdint>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/status/error.h"
#include "llm/generate/engine.h"
#include "llm/model/testing.h"

namespace crossover::llm {
namespace {

struct Numbers {
  ComputeType type = ComputeType::kFp32;
  DecodeWeights weights = DecodeWeights::kDense;

  // Of steps of any number of rows (engine.h).
  bool one_kernel() const { return type == ComputeType::kFp32 || weights == DecodeWeights::kDense; }
};

std::string NameOfNumbers(const testing::TestParamInfo<Numbers>& info) {
  const std::string type = info.param.type == ComputeType::kBf16 ? "bf16" : "fp32";
  return type + (info.param.weights == DecodeWeights::kDense  ? "Dense"
                 : info.param.weights == DecodeWeights::kInt8 ? "Int8"
                                                              : "Int4");
}

class EngineExactTest : public testing::TestWithParam<Numbers> {
 protected:
  void SetUp() override {
    if (GetParam().type == ComputeType::kBf16 && !Resolve({}).bf16())
      GTEST_SKIP() << "this processor does not multiply bf16: " << ToString(Resolve({}));
    base_ = TinyModel(GetParam().type);
    const absl::Status made =
        Engine::Create(base_, {.decode_weights = GetParam().weights}).status();
    if (DetailOf(made).reason == "BAD_ENGINE_OPTIONS") GTEST_SKIP() << made;
  }

  std::unique_ptr<Engine> Make(EngineOptions options) const {
    options.decode_weights = GetParam().weights;
    auto engine = Engine::Create(base_, options);
    EXPECT_TRUE(engine.ok()) << engine.status();
    return *std::move(engine);
  }

  static std::vector<int32_t> Random(uint32_t seed, int64_t length) {
    std::mt19937 random(seed);
    std::vector<int32_t> ids;
    while (static_cast<int64_t>(ids.size()) < length)
      ids.push_back(static_cast<int32_t>(random() % 128));
    return ids;
  }

  // The common beginning, and a token that no other prompt has there: they share exactly that.
  static std::vector<int32_t> PromptOn(const std::vector<int32_t>& beginning, int32_t own,
                                       int64_t length) {
    std::vector<int32_t> prompt = beginning;
    prompt.push_back(own);
    const std::vector<int32_t> rest = Random(static_cast<uint32_t>(own), length);
    prompt.insert(prompt.end(), rest.begin(), rest.end());
    return prompt;
  }

  static std::vector<int32_t> IdsOf(const GenerateResult& result) {
    std::vector<int32_t> ids;
    for (const GeneratedToken& token : result.tokens) ids.push_back(token.id);
    return ids;
  }

  // Submits all, waits for all.
  template <typename Request, typename Result>
  static std::vector<Result> AskAll(Engine& engine, const std::vector<Request>& requests) {
    std::vector<std::promise<absl::StatusOr<Result>>> done(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto tell = [&done, i](absl::StatusOr<Result> result) {
        done[i].set_value(std::move(result));
      };
      absl::StatusOr<RequestId> id;
      if constexpr (std::is_same_v<Request, GenerateRequest>) {
        id = engine.Submit(requests[i], nullptr, tell);
      } else {
        id = engine.Submit(requests[i], tell);
      }
      EXPECT_TRUE(id.ok()) << id.status();
    }
    std::vector<Result> results;
    for (auto& promise : done) {
      auto result = promise.get_future().get();
      EXPECT_TRUE(result.ok()) << result.status();
      results.push_back(*std::move(result));
    }
    return results;
  }

  static std::vector<ScoreRequest> Scores() {
    std::vector<ScoreRequest> requests;
    for (uint32_t i = 0; i < 8; ++i) {
      requests.push_back({.prompt = Random(i, 20 + 3 * i), .continuations = {Random(100 + i, 6)}});
    }
    return requests;
  }

  std::shared_ptr<const BaseModel> base_;
};

INSTANTIATE_TEST_SUITE_P(All, EngineExactTest,
                         testing::Values(Numbers{ComputeType::kFp32, DecodeWeights::kDense},
                                         Numbers{ComputeType::kFp32, DecodeWeights::kInt8},
                                         Numbers{ComputeType::kFp32, DecodeWeights::kInt4},
                                         Numbers{ComputeType::kBf16, DecodeWeights::kDense},
                                         Numbers{ComputeType::kBf16, DecodeWeights::kInt8},
                                         Numbers{ComputeType::kBf16, DecodeWeights::kInt4}),
                         NameOfNumbers);

// The beginning is in the cache both times, as a batch computes attention to it for all together.
TEST_P(EngineExactTest, BatchedAnswersOnACommonBeginningAreTheSingleOnes) {
  if (!GetParam().one_kernel()) GTEST_SKIP() << "steps of up to four rows are rounded apart";
  const std::vector<int32_t> beginning = Random(1000, 70);
  const GenerateRequest first{.prompt = PromptOn(beginning, 127, 0),
                              .sampling = {.temperature = 0, .max_tokens = 1}};
  for (const double temperature : {0.0, 0.8}) {
    std::vector<GenerateRequest> requests;
    for (int32_t i = 0; i < 12; ++i) {
      requests.push_back({.prompt = PromptOn(beginning, i, 5 + 9 * i),
                          .sampling = {.temperature = temperature,
                                       .top_p = 0.9,
                                       .seed = static_cast<uint64_t>(i),
                                       .max_tokens = 10 + i}});
    }
    const auto engine = Make({.max_batch_rows = 8, .max_step_tokens = 50, .speculative_rows = 8});
    ASSERT_TRUE(engine->Generate(first).ok());
    const auto batched = AskAll<GenerateRequest, GenerateResult>(*engine, requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto alone = Make({.speculative_rows = 0});
      ASSERT_TRUE(alone->Generate(first).ok());
      const auto single = alone->Generate(requests[i]);
      ASSERT_TRUE(single.ok()) << single.status();
      EXPECT_EQ(single->cached_prompt_tokens, 70);
      EXPECT_EQ(batched[i].cached_prompt_tokens, 70);
      EXPECT_EQ(IdsOf(batched[i]), IdsOf(*single)) << i;
    }
  }
}

// Every step has more than four rows, and more than four logits are wanted of it.
TEST_P(EngineExactTest, ScoresInLargerStepsAreTheSameNumbers) {
  const auto together = AskAll<ScoreRequest, ScoreResult>(*Make({}), Scores());
  for (size_t i = 0; i < together.size(); ++i) {
    const auto alone = Make({})->Score(Scores()[i]);
    ASSERT_TRUE(alone.ok()) << alone.status();
    for (size_t t = 0; t < 6; ++t)
      EXPECT_FLOAT_EQ(together[i].logprobs[0][t], alone->logprobs[0][t]) << i << ' ' << t;
  }
}

TEST_P(EngineExactTest, ScoresInSmallStepsAreTheSameButForRounding) {
  const double rounding = GetParam().type == ComputeType::kFp32 ? 1e-4 : 0.2;
  const auto large = Make({}), small = Make({.max_step_tokens = 4});
  for (const ScoreRequest& request : Scores()) {
    const auto in_one = large->Score(request), in_many = small->Score(request);
    ASSERT_TRUE(in_one.ok() && in_many.ok());
    for (size_t t = 0; t < 6; ++t)
      EXPECT_NEAR(in_many->logprobs[0][t], in_one->logprobs[0][t], rounding) << t;
  }
}

}  // namespace
}  // namespace crossover::llm
