#include "services/training_scheduler/domain/lease_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "common/status/error.h"

namespace crossover::scheduler {
namespace {

// Most leases of one claim: a transaction of a few milliseconds.
constexpr size_t kMaxClaim = 64;

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
  // A failure to note who asks is no reason to refuse work; that a later life has been seen, or
  // that nobody knows who asks, is.
  const absl::Status seen = leasing_.Saw(request);
  if (HasReason(seen, "RESOURCE_IN_USE") || absl::IsInvalidArgument(seen)) {
    return Deliver(*caller, seen);
  }
  if (!Arrive({request, clock_.SteadyNow() + wait, std::move(caller)})) return;
  while (true) {
    std::list<Waiter> arrived;
    {
      absl::MutexLock lock(&mutex_);
      claiming_ = !arrivals_.empty();
      if (!claiming_) return;
      arrived.swap(arrivals_);
    }
    ServeAll(arrived);
    Park(std::move(arrived));
  }
}

bool LeaseQueue::Arrive(Waiter waiter) {
  {
    absl::MutexLock lock(&mutex_);
    if (!closed_) {
      arrivals_.push_back(std::move(waiter));
      if (claiming_) return false;
      claiming_ = true;
      return true;
    }
  }
  Deliver(*waiter.caller, std::nullopt);
  return false;
}

void LeaseQueue::Serve(std::list<Waiter>& alike) {
  while (!alike.empty()) {
    std::list<Waiter> group;
    const auto end = std::next(alike.begin(), std::min(alike.size(), kMaxClaim));
    group.splice(group.end(), alike, alike.begin(), end);
    std::vector<LeaseRequest> requests;
    for (const Waiter& waiter : group) requests.push_back(waiter.request);
    auto granted = leasing_.TryLeaseAll(requests);
    if (!granted.ok()) {
      for (const Waiter& waiter : group) Deliver(*waiter.caller, granted.status());
      continue;
    }
    DeliverAll(group, *std::move(granted));
    // Equal wishes have equal answers: when there was less than was asked for, nothing is left.
    const bool nothing_left = !group.empty();
    alike.splice(alike.begin(), group);
    if (nothing_left) return;
  }
}

void LeaseQueue::DeliverAll(std::list<Waiter>& group,
                            std::vector<std::pair<size_t, GrantedLease>> granted) {
  std::vector<std::list<Waiter>::iterator> places;
  for (auto place = group.begin(); place != group.end(); ++place) places.push_back(place);
  for (auto& [place, lease] : granted) {
    Deliver(*places[place]->caller, std::optional(std::move(lease)));
    group.erase(places[place]);
  }
}

void LeaseQueue::ServeGangs(std::list<Waiter>& group) {
  while (group.size() > 1 && group.front().request.capabilities.gang > 1) {
    std::vector<LeaseRequest> requests;
    for (const Waiter& waiter : group) requests.push_back(waiter.request);
    auto granted = leasing_.TryLeaseGang(requests);
    // An error is no answer to anybody: they wait on, and the next pass asks again.
    if (!granted.ok() || granted->empty()) return;
    DeliverAll(group, *std::move(granted));
  }
}

std::list<LeaseQueue::Waiter> LeaseQueue::TakeLike(std::list<Waiter>& waiters,
                                                   bool (*like)(const LeaseRequest&,
                                                                const LeaseRequest&)) {
  std::list<Waiter> taken;
  taken.splice(taken.end(), waiters, waiters.begin());
  for (auto place = waiters.begin(); place != waiters.end();) {
    const auto next = std::next(place);
    if (like(place->request, taken.front().request)) taken.splice(taken.end(), waiters, place);
    place = next;
  }
  return taken;
}

void LeaseQueue::ServeAll(std::list<Waiter>& waiters) {
  waiters.remove_if([](const Waiter& waiter) { return waiter.caller->Gone(); });
  std::list<Waiter> left;
  while (!waiters.empty()) {
    std::list<Waiter> alike = TakeLike(waiters, SameWishes);
    Serve(alike);
    ServeGangs(alike);
    left.splice(left.end(), alike);
  }
  // Machines are seldom alike to the byte, and share what as many of them as it takes can hold.
  while (!left.empty()) {
    std::list<Waiter> group = TakeLike(left, MayShareJobs);
    const bool asked = std::all_of(group.begin(), group.end(), [&](const Waiter& waiter) {
      return SameWishes(waiter.request, group.front().request);
    });
    if (!asked) ServeGangs(group);
    waiters.splice(waiters.end(), group);
  }
}

absl::Duration LeaseQueue::Park(std::list<Waiter> waiters) {
  const absl::Duration now = clock_.SteadyNow();
  absl::Duration next = absl::InfiniteDuration();
  std::list<Waiter> over;
  for (auto place = waiters.begin(); place != waiters.end();) {
    const auto following = std::next(place);
    if (place->deadline <= now) {
      over.splice(over.end(), waiters, place);
    } else {
      next = std::min(next, place->deadline - now);
    }
    place = following;
  }
  {
    absl::MutexLock lock(&mutex_);
    if (!closed_) waiters_.splice(waiters_.begin(), waiters);
  }
  over.splice(over.end(), waiters);  // closed meanwhile
  for (const Waiter& waiter : over) Deliver(*waiter.caller, std::nullopt);
  return next;
}

absl::Duration LeaseQueue::Pump() {
  std::list<Waiter> waiters;
  {
    absl::MutexLock lock(&mutex_);
    waiters.swap(waiters_);
  }
  ServeAll(waiters);
  return Park(std::move(waiters));
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
