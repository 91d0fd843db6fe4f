// Constrained answers in a batch: what the model would choose among the tokens that may come, and
// the same as alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <optional>

#include "llm/constrain/constraint.h"
#include "llm/constrain/testing_constraint.h"
#include "llm/generate/batcher.h"
#include "llm/generate/fake_runner.h"
#include "llm/generate/sampler.h"

namespace crossover::llm {
namespace {

using constrain::kEndToken;
using constrain::SchemaSpec;

std::vector<float> LogitsAfter(uint64_t chain, size_t vocabulary) {
  std::vector<float> logits(vocabulary);
  for (size_t i = 0; i < vocabulary; ++i) {
    const uint64_t hash = (chain + i) * 0x9e3779b97f4a7c15ull;
    logits[i] = static_cast<float>((hash >> 40) % 4096) / 512;
  }
  return logits;
}

// Any token may be the most likely, as the tokens before decide.
class HashRunner final : public StepRunner {
 public:
  explicit HashRunner(size_t vocabulary) : vocabulary_(vocabulary) {}
  void BindThread() override {}
  std::unique_ptr<StepLogits> Run(const StepInput& input) override {
    auto logits = std::make_unique<Logits>(vocabulary_);
    size_t wanted = 0;
    for (const StepSequence& sequence : input.sequences) {
      KvNode& tail = *sequence.tail;
      for (int64_t i = 0; i < sequence.count; ++i) {
        if (wanted == input.logit_rows.size() || input.logit_rows[wanted] != sequence.row + i)
          continue;
        logits->chains.push_back(HashOfChain(tail, tail.computed + i));
        ++wanted;
      }
      tail.computed += sequence.count;
    }
    return logits;
  }
  void ForEach(int64_t n, absl::FunctionRef<void(int64_t)> task) override {
    for (int64_t i = 0; i < n; ++i) task(i);
  }

 private:
  struct Logits final : public StepLogits {
    explicit Logits(size_t size) : vocabulary(size) {}
    const size_t vocabulary;
    std::vector<uint64_t> chains;
    void Row(int64_t row, std::vector<float>& logits) const override {
      logits = LogitsAfter(chains[row], vocabulary);
    }
    std::vector<float> HiddenSum(int64_t) const override { return {}; }
  };

  const size_t vocabulary_;
};

class ConstraintBatchTest : public testing::Test {
 protected:
  std::shared_ptr<const Constraint> Compile(const ConstraintSpec& spec) {
    auto constraint = compiler_.Compile(spec);
    EXPECT_TRUE(constraint.ok()) << constraint.status();
    return *constraint;
  }

  struct Ask {
    std::shared_ptr<const Constraint> constraint;
    std::vector<int32_t> prompt;
    Sampling sampling;
  };

  std::vector<absl::StatusOr<GenerateResult>> Run(const std::vector<Ask>& asks,
                                                  int64_t pages = 200) {
    EngineOptions options{.kv_budget_bytes = pages * kFakeShape.page_bytes()};
    options.token_bytes = [this](int32_t id) { return tokens_[id]; };
    Batcher batcher(kFakeShape, options, std::make_unique<HashRunner>(tokens_.size()));
    std::vector<absl::StatusOr<GenerateResult>> results(asks.size(), absl::UnknownError("none"));
    for (size_t i = 0; i < asks.size(); ++i) {
      auto sequence = std::make_unique<Sequence>();
      sequence->id = i + 1;
      sequence->prompt = asks[i].prompt;
      sequence->sampling = asks[i].sampling;
      sequence->sampling.stop_ids = {kEndToken};
      if (asks[i].constraint != nullptr)
        sequence->constraint = std::make_unique<ConstraintState>(asks[i].constraint);
      sequence->on_done = [&results, i](absl::StatusOr<GenerateResult> result) {
        results[i] = std::move(result);
      };
      batcher.Enqueue(std::move(sequence));
    }
    for (int step = 0; step < 5000 && !batcher.idle(); ++step) batcher.Step();
    return results;
  }

  // Greedy choice among the tokens found by trying all of them; nullopt: the end.
  std::optional<int32_t> BestByForce(const Constraint& constraint, const std::string& text,
                                     const std::vector<int32_t>& before) {
    uint64_t hash = 17;
    for (const int32_t id : before) hash = (hash ^ id) * 0x100000001b3ull + 1;
    std::vector<float> logits = LogitsAfter(hash, tokens_.size());
    constrain::TextReader so_far(constraint.automaton());
    so_far.Read(text);
    if (so_far.finished()) return std::nullopt;
    for (size_t i = 0; i < logits.size(); ++i) {
      constrain::TextReader reader = so_far;
      const bool allowed = static_cast<int32_t>(i) == kEndToken
                               ? reader.whole()
                               : !tokens_[i].empty() && reader.Read(tokens_[i]);
      if (!allowed) logits[i] = -INFINITY;
    }
    const int32_t best = MostLikely(logits);
    if (best == kEndToken) return std::nullopt;
    return best;
  }

  const std::vector<std::string> tokens_ =
      constrain::TokensWithBytes({"{\"", "\":", "\",\"", "\"}", "true", "null", "[]", "},{", "12",
                                  "a\"", "ab", ", ", "\n  ", "]}"});
  ConstraintCompiler compiler_{std::make_shared<TokenVocabulary>(tokens_)};
  const ConstraintSpec schema_ = SchemaSpec(
      R"({"type":"object","properties":{"a":{"type":"string","maxLength":6},"b":{"type":"array","items":{"type":"integer"},"maxItems":3},
          "c":{"type":["boolean","null"]}},"required":["a","c"]})");
};

TEST_F(ConstraintBatchTest, GreedyTakesTheBestOfTheTokensThatMayCome) {
  std::vector<Ask> asks;
  for (int i = 0; i < 12; ++i) {
    const ConstraintSpec spec = i % 3 == 0 ? schema_
                                : i % 3 == 1
                                    ? constrain::RegexSpec("(ab|c){3,9}x?")
                                    : ConstraintSpec{.kind = ConstraintSpec::Kind::kJsonObject};
    asks.push_back({Compile(spec), {i, 7, i + 1}, {.temperature = 0, .max_tokens = 60}});
  }
  const auto results = Run(asks);
  for (size_t i = 0; i < asks.size(); ++i) {
    ASSERT_TRUE(results[i].ok()) << results[i].status();
    std::vector<int32_t> before = asks[i].prompt;
    std::string text;
    for (const GeneratedToken& token : results[i]->tokens) {
      EXPECT_EQ(BestByForce(*asks[i].constraint, text, before), token.id) << text;
      text += tokens_[token.id];
      before.push_back(token.id);
    }
    if (results[i]->finish == FinishReason::kStop) {
      EXPECT_EQ(BestByForce(*asks[i].constraint, text, before), std::nullopt);
      EXPECT_TRUE(constrain::Allows(asks[i].constraint->automaton(), text)) << text;
    }
  }
}

TEST_F(ConstraintBatchTest, DrawsMatchAndDependOnNoNeighbour) {
  std::vector<Ask> asks;
  for (uint64_t i = 0; i < 16; ++i) {
    asks.push_back({i % 4 == 3 ? nullptr : Compile(schema_),
                    {5, 6},
                    {.temperature = 1.5,
                     .top_p = i % 2 ? 0.9 : 1.0,
                     .top_k = i % 3 ? 0 : 40,
                     .seed = i,
                     .max_tokens = 200}});
  }
  const auto together = Run(asks, 2000);
  int whole = 0;
  for (size_t i = 0; i < asks.size(); ++i) {
    ASSERT_TRUE(together[i].ok()) << together[i].status();
    const auto alone = Run({asks[i]}, 2000);
    EXPECT_EQ(alone[0]->text, together[i]->text);
    if (asks[i].constraint == nullptr || together[i]->finish != FinishReason::kStop) continue;
    ++whole;
    EXPECT_TRUE(constrain::Allows(asks[i].constraint->automaton(), together[i]->text))
        << together[i]->text;
  }
  EXPECT_GT(whole, 8);
}

TEST_F(ConstraintBatchTest, AnAnswerThatWasPutBackGoesOnWhereItWas) {
  std::vector<Ask> asks;
  for (int i = 0; i < 6; ++i)
    asks.push_back({Compile(SchemaSpec(R"({"type":"string","minLength":60,"maxLength":90})")),
                    {i},
                    {.temperature = 1, .seed = 3, .max_tokens = 120}});
  const auto roomy = Run(asks, 2000);
  const auto tight = Run(asks, 12);
  for (size_t i = 0; i < asks.size(); ++i) {
    ASSERT_TRUE(tight[i].ok()) << tight[i].status();
    EXPECT_EQ(tight[i]->text, roomy[i]->text);
  }
}

TEST_F(ConstraintBatchTest, ItEndsAtOnceWhereNothingMayFollow) {
  const ConstraintSpec spec{.kind = ConstraintSpec::Kind::kChoice, .choices = {"12"}};
  const auto results = Run({{Compile(spec), {1}, {.temperature = 0, .max_tokens = 2}}});
  ASSERT_TRUE(results[0].ok());
  EXPECT_EQ(results[0]->text, "12");
  EXPECT_EQ(results[0]->finish, FinishReason::kStop);
}

TEST_F(ConstraintBatchTest, LogprobsAreAmongTheTokensThatMayCome) {
  const ConstraintSpec spec{.kind = ConstraintSpec::Kind::kChoice, .choices = {"x", "y"}};
  const auto results =
      Run({{Compile(spec), {1}, {.temperature = 0, .max_tokens = 1, .top_logprobs = 5}}});
  ASSERT_TRUE(results[0].ok());
  const std::vector<TokenLogprob>& top = results[0]->tokens[0].top;
  ASSERT_EQ(top.size(), 2u);
  EXPECT_NEAR(std::exp(top[0].logprob) + std::exp(top[1].logprob), 1, 1e-5);
}

TEST_F(ConstraintBatchTest, AVocabularyThatCannotGoOnFailsTheRequest) {
  ConstraintCompiler poor(std::make_shared<TokenVocabulary>(std::vector<std::string>{"a"}));
  const auto constraint = poor.Compile(constrain::RegexSpec("ab"));
  ASSERT_TRUE(constraint.ok());
  const auto results = Run({{*constraint, {1}, {.temperature = 0, .max_tokens = 5}}});
  EXPECT_EQ(results[0].status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace crossover::llm
