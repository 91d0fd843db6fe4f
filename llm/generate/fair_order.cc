#include "llm/generate/fair_order.h"

#include <algorithm>

namespace crossover::llm {

namespace {

// What an answer is taken to cost, in tokens: max_tokens, but a client that leaves it out (all that
// the context holds) does not mean it.
constexpr int64_t kUsualAnswer = 256;
// Idle flows are forgotten when there are more than this.
constexpr size_t kManyFlows = 1024;

double CostOf(const Sequence& sequence) {
  const int64_t answer =
      sequence.generates() ? std::min(sequence.sampling.max_tokens, kUsualAnswer) : 0;
  return static_cast<double>(static_cast<int64_t>(sequence.prompt.size()) + answer);
}

}  // namespace

void FairOrder::Join(Sequence& sequence) {
  if (finish_.size() > kManyFlows) ForgetIdleFlows();
  double& finish = finish_.try_emplace(sequence.flow, now_).first->second;
  sequence.tag = std::max(now_, finish);
  finish = sequence.tag + CostOf(sequence);
}

void FairOrder::Admitted(const Sequence& sequence) { now_ = std::max(now_, sequence.tag); }

bool FairOrder::Passes(const Sequence& a, const Sequence& b) {
  if (b.preempted) return false;
  return a.priority != b.priority ? a.priority > b.priority : a.tag < b.tag;
}

void FairOrder::ForgetIdleFlows() {
  std::erase_if(finish_, [this](const auto& flow) { return flow.second <= now_; });
}

}  // namespace crossover::llm
