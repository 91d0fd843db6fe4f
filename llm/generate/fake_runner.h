// A model without weights for tests of the batcher and the engine's threading.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include "llm/generate/batcher.h"
#include "llm/generate/step.h"

namespace crossover::llm {

inline constexpr int64_t kFakeVocab = 32;
// 1,024 bytes a page.
inline constexpr KvShape kFakeShape{.layers = 1, .kv_heads = 1, .head_dim = 2, .item_bytes = 4};

// A hash of all tokens up to and with `last`, as the chain of nodes has them.
inline uint64_t HashOfChain(const KvNode& node, int64_t last) {
  uint64_t hash = node.parent == nullptr ? 17 : HashOfChain(*node.parent, node.parent_used - 1);
  for (int64_t i = 0; i <= last; ++i) hash = (hash ^ node.tokens[i]) * 0x100000001b3ull + 1;
  return hash;
}

// The next token is a hash of all tokens before it, so a sequence that was attached to the wrong
// beginning answers otherwise.
class FakeRunner final : public StepRunner {
 public:
  using OnStep = std::function<void(const StepInput&)>;

  using Answer = std::function<int32_t(const KvNode& node, int64_t last)>;

  // `on_step` sees every step first and may throw. `answer` gives the token after place `last` of a
  // node, by default a hash of all tokens before it.
  explicit FakeRunner(OnStep on_step = nullptr, Answer answer = HashAnswer)
      : on_step_(std::move(on_step)), answer_(std::move(answer)) {}

  static int32_t HashAnswer(const KvNode& node, int64_t last) {
    return static_cast<int32_t>(HashOfChain(node, last) >> 7) & (kFakeVocab - 1);
  }

  void BindThread() override {}

  std::unique_ptr<StepLogits> Run(const StepInput& input) override {
    if (on_step_) on_step_(input);
    auto logits = std::make_unique<Logits>();
    size_t wanted = 0;
    for (const RowRange& range : input.pooled) {
      std::vector<float>& sum = logits->sums.emplace_back(2);
      for (int64_t i = range.begin; i < range.end; ++i) {
        sum[0] += static_cast<float>(input.ids[i]);
        sum[1] += static_cast<float>(input.positions[i]);
      }
    }
    for (const StepSequence& sequence : input.sequences) {
      KvNode& tail = *sequence.tail;
      if (PagesFor(tail.computed + sequence.count) > static_cast<int64_t>(tail.pages.size()))
        throw std::logic_error("a sequence has too few pages");
      for (int64_t i = 0; i < sequence.count; ++i) {
        const bool wants =
            wanted < input.logit_rows.size() && input.logit_rows[wanted] == sequence.row + i;
        if (!wants) continue;
        logits->best.push_back(answer_(tail, tail.computed + i));
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
    std::vector<int32_t> best;
    void Row(int64_t row, std::vector<float>& logits) const override {
      logits.assign(kFakeVocab, 0);
      logits[best[row]] = 1;
    }
    // A token's hidden state is (token, position).
    std::vector<std::vector<float>> sums;
    std::vector<float> HiddenSum(int64_t range) const override { return sums[range]; }
  };

  const OnStep on_step_;
  const Answer answer_;
};

}  // namespace crossover::llm
