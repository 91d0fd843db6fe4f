#include "llm/generate/waiting_calls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

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
  if (!calls_.contains(key) && Full()) {
    return Error(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
                 absl::StrCat(waiting_calls_, " requests are waiting; try again later"));
  }
  Call& call = calls_.try_emplace(key, Call{.key = key}).first->second;
  waiting_calls_ += call.waiting == 0;
  waiting_sequences_ += static_cast<int64_t>(sequences);
  call.waiting += static_cast<int64_t>(sequences);
  call.unfinished += static_cast<int64_t>(sequences);
  for (size_t i = 0; i < sequences; ++i) stays.push_back(Stay(this, &call));
  return stays;
}

int64_t WaitingCalls::calls() const {
  const std::lock_guard lock(mutex_);
  return waiting_calls_;
}

bool WaitingCalls::Full() const {
  return waiting_calls_ >= max_calls_ || waiting_sequences_ >= max_calls_ * kSequencesPerCall;
}

void WaitingCalls::EndWaiting(Call& call) {
  --waiting_sequences_;
  waiting_calls_ -= --call.waiting == 0;
}

void WaitingCalls::End(Call& call) {
  if (--call.unfinished > 0) return;
  const Key key = call.key;  // The call goes with what it is found by.
  calls_.erase(key);
}

}  // namespace crossover::llm
