#include "services/training_scheduler/domain/lease_queue.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status/error.h"

namespace crossover::scheduler {
namespace {

bool SameWishes(const LeaseRequest& a, const LeaseRequest& b) {
  return a.project == b.project && a.capabilities.kinds == b.capabilities.kinds &&
         a.capabilities.queues == b.capabilities.queues;
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
  // A failure to note who asks is no reason to refuse work; that a later life has been seen is.
  const absl::Status seen = leasing_.Saw(request);
  if (HasReason(seen, "RESOURCE_IN_USE")) return Deliver(*caller, seen);
  Result result = leasing_.TryLease(request);
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
  std::vector<LeaseRequest> empty_handed;
  std::list<Waiter> still_waiting;
  const absl::Duration now = clock_.SteadyNow();
  absl::Duration next = absl::InfiniteDuration();
  while (!waiters.empty()) {
    Waiter waiter = std::move(waiters.front());
    waiters.pop_front();
    if (waiter.caller->Gone()) continue;
    const bool hopeless =
        std::any_of(empty_handed.begin(), empty_handed.end(),
                    [&](const LeaseRequest& wishes) { return SameWishes(wishes, waiter.request); });
    Result result = hopeless ? Result(std::nullopt) : leasing_.TryLease(waiter.request);
    const bool nothing = result.ok() && !result->has_value();
    if (nothing && !hopeless) empty_handed.push_back(waiter.request);
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
