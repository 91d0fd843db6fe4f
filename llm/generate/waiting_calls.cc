#include "llm/generate/waiting_calls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm {

namespace {

constexpr int64_t kSequencesPerCall = 16;

}  // namespace

WaitingCalls::Stay::Stay(Stay&& other) noexcept { *this = std::move(other); }

WaitingCalls::Stay& WaitingCalls::Stay::operator=(Stay&& other) noexcept {
  if (this == &other) return *this;
  End();
  of_ = std::exchange(other.of_, nullptr);
  call_ = std::exchange(other.call_, nullptr);
  waits_ = std::exchange(other.waits_, false);
  return *this;
}

WaitingCalls::Stay::~Stay() { End(); }

void WaitingCalls::Stay::EndWaiting() {
  if (!std::exchange(waits_, false)) return;
  const std::lock_guard lock(of_->mutex_);
  of_->EndWaiting(*call_);
}

void WaitingCalls::Stay::End() {
  if (of_ == nullptr) return;
  EndWaiting();
  const std::lock_guard lock(of_->mutex_);
  of_->End(*call_);
  of_ = nullptr;
}

absl::StatusOr<std::vector<WaitingCalls::Stay>> WaitingCalls::Enter(const std::string& caller,
                                                                    uint64_t number,
                                                                    size_t sequences) {
  std::vector<Stay> stays;
  stays.reserve(sequences);
  const std::lock_guard lock(mutex_);
  const Key key{caller, number != 0, number != 0 ? number : ++unnumbered_};
  if (!calls_.contains(key)) RETURN_IF_ERROR(MayEnter(caller));
  Call& call = calls_.try_emplace(key, Call{.key = key}).first->second;
  Begin(call, static_cast<int64_t>(sequences));
  for (size_t i = 0; i < sequences; ++i) stays.push_back(Stay(this, &call));
  return stays;
}

int64_t WaitingCalls::calls() const {
  const std::lock_guard lock(mutex_);
  return waiting_.calls;
}

absl::Status WaitingCalls::MayEnter(const std::string& caller) const {
  const int64_t max_sequences = max_calls_ * kSequencesPerCall;
  if (waiting_.calls < max_calls_ && waiting_.sequences < max_sequences) return absl::OkStatus();
  const auto known = callers_.find(caller);
  const Amount own = known == callers_.end() ? Amount() : known->second;
  const int64_t callers = static_cast<int64_t>(callers_.size()) + (known == callers_.end());
  if (own.calls < max_calls_ / callers && own.sequences < max_sequences / callers)
    return absl::OkStatus();
  return Error(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
               absl::StrCat(waiting_.calls, " requests are waiting, ", own.calls,
                            " of them of this caller, which has its share of the queue; try again "
                            "later"));
}

void WaitingCalls::Begin(Call& call, int64_t sequences) {
  Amount& own = callers_[std::get<0>(call.key)];
  for (Amount* amount : {&waiting_, &own}) {
    amount->calls += call.waiting == 0;
    amount->sequences += sequences;
  }
  call.waiting += sequences;
  call.unfinished += sequences;
}

void WaitingCalls::EndWaiting(Call& call) {
  const auto own = callers_.find(std::get<0>(call.key));
  --call.waiting;
  for (Amount* amount : {&waiting_, &own->second}) {
    amount->calls -= call.waiting == 0;
    --amount->sequences;
  }
  if (own->second.sequences == 0) callers_.erase(own);
}

void WaitingCalls::End(Call& call) {
  if (--call.unfinished > 0) return;
  const Key key = call.key;  // The call goes with what it is found by.
  calls_.erase(key);
}

}  // namespace crossover::llm
