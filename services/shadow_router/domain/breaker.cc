#include "services/shadow_router/domain/breaker.h"

namespace crossover::router {

bool CircuitBreaker::Allow() {
  absl::MutexLock lock(&mutex_);
  if (!open_) return true;
  if (trial_ || clock_.SteadyNow() < open_until_) return false;
  trial_ = true;
  return true;
}

void CircuitBreaker::Answering() {
  absl::MutexLock lock(&mutex_);
  if (!open_) return;
  open_ = false;
  trial_ = false;
  failures_ = options_.failures_to_open - 1;
}

void CircuitBreaker::Success() {
  absl::MutexLock lock(&mutex_);
  failures_ = 0;
  open_ = false;
  trial_ = false;
}

void CircuitBreaker::Failure() {
  absl::MutexLock lock(&mutex_);
  ++failures_;
  if (!open_ && failures_ < options_.failures_to_open) return;
  open_ = true;
  trial_ = false;
  open_until_ = clock_.SteadyNow() + options_.open_for;
}

void CircuitBreaker::Unknown() {
  absl::MutexLock lock(&mutex_);
  trial_ = false;
}

CircuitBreaker& Breakers::For(const std::string& upstream) {
  absl::MutexLock lock(&mutex_);
  return breakers_.try_emplace(upstream, options_, clock_).first->second;
}

}  // namespace crossover::router
