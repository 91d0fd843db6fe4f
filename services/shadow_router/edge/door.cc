#include "services/shadow_router/edge/door.h"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <string>
#include <utility>

#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::router {
namespace {

namespace asio = boost::asio;

constexpr int kThreads = 2;
constexpr int kMaxWaiting = 256;  // Made-up keys must not pile up work for the registry.

std::string_view AuthorizationOf(const http::Request& request) {
  return request.headers.Get("authorization").value_or("");
}

}  // namespace

struct Door::Pool {
  asio::thread_pool threads{kThreads};
  std::atomic<int> waiting = 0;
};

Door::Door(Callers& callers, KeyMeter& meter)
    : callers_(callers), meter_(meter), pool_(std::make_unique<Pool>()) {}

Door::~Door() { Stop(); }

void Door::Stop() { pool_->threads.join(); }

absl::StatusOr<Caller> Door::Check(absl::StatusOr<Caller> caller, Access access) {
  RETURN_IF_ERROR(caller.status());
  RETURN_IF_ERROR(CheckAccess(*caller, access));
  RETURN_IF_ERROR(meter_.TakeRequest(*caller));
  return caller;
}

absl::StatusOr<Caller> Door::Admit(const http::Request& request, Access access) {
  const std::string_view authorization = AuthorizationOf(request);
  std::optional<absl::StatusOr<Caller>> known = callers_.Known(authorization, request.peer);
  return Check(known ? *std::move(known) : callers_.Find(authorization, request.peer), access);
}

http::Task<absl::StatusOr<Caller>> Door::AdmitAsync(const http::Request& request, Access access) {
  const std::string authorization(AuthorizationOf(request));
  const std::string peer = request.peer;
  if (std::optional<absl::StatusOr<Caller>> known = callers_.Known(authorization, peer))
    co_return Check(*std::move(known), access);
  if (pool_->waiting.fetch_add(1) >= kMaxWaiting) {
    --pool_->waiting;
    co_return Error(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
                    "too many keys are being looked up; try again");
  }
  absl::StatusOr<Caller> found =
      co_await asio::co_spawn(pool_->threads, LookUp(authorization, peer), asio::use_awaitable);
  co_return Check(std::move(found), access);
}

http::Task<absl::StatusOr<Caller>> Door::LookUp(std::string authorization, std::string peer) {
  // Whoever was ahead in the queue may have looked up the same key.
  std::optional<absl::StatusOr<Caller>> known = callers_.Known(authorization, peer);
  absl::StatusOr<Caller> caller = known ? *std::move(known) : callers_.Find(authorization, peer);
  --pool_->waiting;
  co_return caller;
}

}  // namespace crossover::router
