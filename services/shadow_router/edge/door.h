// The front door: who is let in.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/http/async.h"
#include "common/http/message.h"
#include "services/shadow_router/domain/caller.h"
#include "services/shadow_router/domain/key_meter.h"

namespace crossover::router {

// Thread-safe. Borrows callers and meter.
class Door {
 public:
  Door(Callers& callers, KeyMeter& meter);
  ~Door();  // Stop()
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  // The caller of a request, counted against its key's requests. UNAUTHENTICATED
  // `API_KEY_MISSING` or `API_KEY_INVALID`, PERMISSION_DENIED `ROLE_INSUFFICIENT`,
  // RESOURCE_EXHAUSTED `RATE_LIMITED` or, with too many keys being looked up, `QUEUE_FULL`.
  // May block.
  absl::StatusOr<Caller> Admit(const http::Request& request, Access access);
  // The same for a coroutine: a key that is not in memory is looked up on another thread. `request`
  // lives until it ends.
  http::Task<absl::StatusOr<Caller>> AdmitAsync(const http::Request& request, Access access);

  // Ends look-ups. After the last request, before the server is destroyed: its coroutines wait for
  // them.
  void Stop();

 private:
  // On the pool. By value: the server may end the coroutine that waits for it.
  http::Task<absl::StatusOr<Caller>> LookUp(std::string authorization, std::string peer);
  absl::StatusOr<Caller> Check(absl::StatusOr<Caller> caller, Access access);

  struct Pool;
  Callers& callers_;
  KeyMeter& meter_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace crossover::router
