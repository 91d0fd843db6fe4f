// What travels with a request: its deadline, its trace, who asked.
//
// The RPC handler wrapper and the HTTP edge install a context for the time they run a piece of work
// on a thread; logging reads the trace id, pg::Transact and rpc::Call read the deadline, so that
// neither has to be threaded through every port. Work handed to another thread takes a copy with it
// (`RequestContext::Current()`, then `ScopedContext` there).
#pragma once

#include <string>

#include "absl/time/time.h"
#include "common/time/clock.h"

namespace crossover {

// A plain value; copying it is how it crosses threads.
struct RequestContext {
  // Clock::SteadyNow() at which the work is worth nothing any more. Infinite where nobody waits
  // (background work).
  absl::Duration deadline = absl::InfiniteDuration();
  // 32 lower-case hex digits as in W3C traceparent, or empty.
  std::string trace_id;
  // Whole `traceparent` header to hand downstream, or empty.
  std::string traceparent;
  // Name of the project ("projects/default") and the key or account that asked, when known.
  std::string project;
  std::string caller;

  // Time left; never negative. Infinite without a deadline.
  absl::Duration Remaining(Clock& clock) const;

  // The context installed on this thread; an empty one outside any request. The reference lives
  // until the scope ends.
  static const RequestContext& Current();
};

// Installs `context` on the calling thread until destroyed; scopes nest.
class ScopedContext {
 public:
  explicit ScopedContext(RequestContext context);
  ~ScopedContext();
  ScopedContext(const ScopedContext&) = delete;
  ScopedContext& operator=(const ScopedContext&) = delete;

 private:
  RequestContext context_;
  const RequestContext* previous_;
};

}  // namespace crossover
