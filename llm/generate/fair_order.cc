#include "llm/generate/fair_order.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace crossover::llm {

namespace {

using Waiting = std::deque<std::unique_ptr<Sequence>>;

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

// Whether `a` goes before `b`, which came earlier: only if it must.
bool Passes(const Sequence& a, const Sequence& b) {
  if (b.preempted) return false;
  return a.priority != b.priority ? a.priority > b.priority : a.tag < b.tag;
}

// Lets the sequence at `place` have the place of the first of its caller's that it goes before by
// inner tag; that one takes the next one's place, and so on. Places keep their tags.
void OrderWithinCaller(Waiting& waiting, Waiting::iterator place) {
  for (auto other = place; other != waiting.begin();) {
    --other;
    if ((*other)->preempted || (*other)->priority != (*place)->priority) return;
    if ((*other)->caller != (*place)->caller) continue;
    if ((*other)->inner_tag <= (*place)->inner_tag) return;
    std::swap((*other)->tag, (*place)->tag);
    std::swap(*other, *place);
    place = other;
  }
}

}  // namespace

void FairOrder::Join(std::unique_ptr<Sequence> sequence, Waiting& waiting) {
  if (flows_ > kManyFlows) ForgetIdleFlows(waiting.empty());
  SetTags(*sequence);
  // From the back: most go there.
  auto place = waiting.end();
  while (place != waiting.begin() && Passes(*sequence, **std::prev(place))) --place;
  OrderWithinCaller(waiting, waiting.insert(place, std::move(sequence)));
}

void FairOrder::SetTags(Sequence& sequence) {
  // Inner time begins with the outer one, so that what waits since a caller was forgotten is passed
  // by nothing that came later.
  Caller& caller = callers_.try_emplace(sequence.caller, Caller{now_, now_, {}}).first->second;
  const auto [adapter, fresh] = caller.adapters.try_emplace(sequence.owner.adapter, caller.now);
  flows_ += fresh;
  sequence.tag = std::max(now_, caller.finish);
  sequence.inner_tag = std::max(caller.now, adapter->second);
  const double cost = CostOf(sequence);
  caller.finish = sequence.tag + cost;
  adapter->second = sequence.inner_tag + cost;
}

void FairOrder::Admitted(const Sequence& sequence) {
  now_ = std::max(now_, sequence.tag);
  const auto caller = callers_.find(sequence.caller);
  if (caller != callers_.end())
    caller->second.now = std::max(caller->second.now, sequence.inner_tag);
}

size_t FairOrder::flows() const { return callers_.size() + flows_; }

void FairOrder::ForgetIdleFlows(bool nothing_waits) {
  // Whose turn it is does not matter then; and time may stand still while all callers are new ones.
  if (nothing_waits) callers_.clear();
  std::erase_if(callers_, [this](const auto& caller) { return caller.second.finish <= now_; });
  flows_ = 0;
  for (auto& [name, caller] : callers_) {
    std::erase_if(caller.adapters,
                  [&](const auto& adapter) { return adapter.second <= caller.now; });
    flows_ += caller.adapters.size();
  }
}

}  // namespace crossover::llm
