// Workers that wait for a job. A parked wait costs an entry in a list, not a thread; workers that
// ask at the same time share one claim.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/leasing.h"

namespace crossover::scheduler {

// Somebody who waits for a lease.
class LeaseCaller {
 public:
  using Result = absl::StatusOr<std::optional<GrantedLease>>;

  virtual ~LeaseCaller() = default;
  // True once nobody waits for the answer any more: no job is claimed for it.
  virtual bool Gone() = 0;
  // Called at most once, never under the queue's lock. False: nobody is there any more, and a lease
  // that was granted is given back at no cost to the job.
  virtual bool Take(Result result) = 0;
};

// Thread-safe. Borrows leasing and clock.
class LeaseQueue {
 public:
  using Result = LeaseCaller::Result;

  LeaseQueue(Leasing& leasing, Clock& clock) : leasing_(leasing), clock_(clock) {}

  // Tries at once; parks the request for up to `wait` if there is nothing to do. While another
  // thread claims, that one claims for this caller too, and this returns before the answer.
  void Lease(const LeaseRequest& request, absl::Duration wait, std::shared_ptr<LeaseCaller> caller);

  // Ends waits whose time is over and tries to claim for the others, longest wait first. Returns
  // the time until the next wait ends (infinite if there is none). One call at a time.
  absl::Duration Pump();

  // Ends all waits with nothing, and every later one at once.
  void Close();

  size_t waiting() const;

 private:
  struct Waiter {
    LeaseRequest request;
    absl::Duration deadline;
    std::shared_ptr<LeaseCaller> caller;
  };

  // True if the caller is to serve the arrivals; another thread does so otherwise.
  bool Arrive(Waiter waiter);
  // Workers of equal wishes: one claim for all of them, and those that got nothing are left.
  void Serve(std::list<Waiter>& alike);
  // Those that got no job of their own: jobs that several of them share.
  void ServeGangs(std::list<Waiter>& group);
  // The first waiter and all that are like it, in their order.
  static std::list<Waiter> TakeLike(std::list<Waiter>& waiters,
                                    bool (*like)(const LeaseRequest&, const LeaseRequest&));
  // Serves all by their wishes; leaves those that got nothing.
  void ServeAll(std::list<Waiter>& waiters);
  // Answers those whose time is over and parks the others. Returns the time until the next ends.
  absl::Duration Park(std::list<Waiter> waiters);
  // Delivers leases by their places in `group`, and takes those waiters out of it.
  void DeliverAll(std::list<Waiter>& group, std::vector<std::pair<size_t, GrantedLease>> granted);
  void Deliver(LeaseCaller& caller, Result result);

  Leasing& leasing_;
  Clock& clock_;
  mutable absl::Mutex mutex_;
  std::list<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  std::list<Waiter> arrivals_ ABSL_GUARDED_BY(mutex_);  // not tried yet
  bool claiming_ ABSL_GUARDED_BY(mutex_) = false;       // a thread serves the arrivals
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace crossover::scheduler
