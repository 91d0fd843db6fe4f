#include "services/training_scheduler/domain/lease_queue.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace crossover::scheduler {
namespace {

bool SameWishes(const Capabilities& a, const Capabilities& b) {
  return a.kinds == b.kinds && a.queues == b.queues;
}

}  // namespace

void LeaseQueue::Deliver(LeaseCaller& caller, Result result) {
  std::optional<LeaseToken> token;
  if (result.ok() && result->has_value()) token = (*result)->token;
  // If giving back fails, the lease expires by itself.
  if (!caller.Take(std::move(result)) && token.has_value()) {
    leasing_.Release(*token, ReleaseReason::kDrain).IgnoreError();
  }
}

void LeaseQueue::Lease(const LeaseRequest& request, absl::Duration wait,
                       std::shared_ptr<LeaseCaller> caller) {
  Result result = leasing_.TryLease(request);
  // What ListWorkers shows; a failure to note it is no reason to refuse work.
  if (result.ok()) leasing_.Saw(request).IgnoreError();
  if (result.ok() && !result->has_value() && wait > absl::ZeroDuration()) {
    absl::MutexLock lock(&mutex_);
    if (!closed_) {
      waiters_.push_back({request, clock_.SteadyNow() + wait, std::move(caller)});
      return;
    }
  }
  Deliver(*caller, std::move(result));
}

absl::Duration LeaseQueue::Pump() {
  std::list<Waiter> waiters;
  {
    absl::MutexLock lock(&mutex_);
    waiters.swap(waiters_);
  }
  // Equal wishes have equal answers: after one has found nothing, the rest of its kind need not
  // ask.
  std::vector<Capabilities> empty_handed;
  std::list<Waiter> still_waiting;
  const absl::Duration now = clock_.SteadyNow();
  absl::Duration next = absl::InfiniteDuration();
  while (!waiters.empty()) {
    Waiter waiter = std::move(waiters.front());
    waiters.pop_front();
    if (waiter.caller->Gone()) continue;
    const bool hopeless =
        std::any_of(empty_handed.begin(), empty_handed.end(), [&](const Capabilities& wishes) {
          return SameWishes(wishes, waiter.request.capabilities);
        });
    Result result = hopeless ? Result(std::nullopt) : leasing_.TryLease(waiter.request);
    const bool nothing = result.ok() && !result->has_value();
    if (nothing && !hopeless) empty_handed.push_back(waiter.request.capabilities);
    if (nothing && waiter.deadline > now) {
      next = std::min(next, waiter.deadline - now);
      still_waiting.push_back(std::move(waiter));
    } else {
      Deliver(*waiter.caller, std::move(result));
    }
  }
  {
    absl::MutexLock lock(&mutex_);
    if (!closed_) waiters_.splice(waiters_.begin(), still_waiting);
  }
  for (const Waiter& waiter : still_waiting)
    Deliver(*waiter.caller, std::nullopt);  // closed meanwhile
  return next;
}

void LeaseQueue::Close() {
  std::list<Waiter> waiters;
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    waiters.swap(waiters_);
  }
  for (const Waiter& waiter : waiters) Deliver(*waiter.caller, std::nullopt);
}

size_t LeaseQueue::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiters_.size();
}

}  // namespace crossover::scheduler
