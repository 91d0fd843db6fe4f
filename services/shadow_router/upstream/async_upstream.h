// The answer's path to a model: coroutines on the client's own connection thread.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/http/async.h"
#include "common/time/clock.h"
#include "services/shadow_router/domain/answer.h"
#include "services/shadow_router/domain/breaker.h"
#include "services/shadow_router/domain/upstream.h"

namespace crossover::router {

// How an attempt began. Exactly one of `stream` and a status other than kOk.
struct Opened {
  CallStatus status = CallStatus::kOk;
  std::string error;
  std::unique_ptr<http::AsyncStream>
      stream;  // Any HTTP status: the head has been read, the body has not.
  absl::Duration began = absl::ZeroDuration();  // Clock::SteadyNow() when the request was sent.
};

struct AsyncCall {
  const Target* target = nullptr;  // Borrowed for the call.
  std::string body;
  http::Headers headers;  // Content-Type and Authorization are added.
  bool stream = false;
};

// Thread-safe; each call stays on its caller's executor. Borrows clock.
//
// A request that cannot have reached the server (refused, reset before it was sent) is tried once
// more. An upstream that failed often in a row is not asked for a while: kConnectFailed at once, so
// that a fallback answers without a wait.
class AsyncUpstream {
 public:
  AsyncUpstream(http::ClientOptions options, BreakerOptions breaker, Clock& clock)
      : client_(std::move(options)), breakers_(breaker, clock), clock_(clock) {}

  http::Task<Opened> Open(AsyncCall call, http::CancelToken cancel);

  // After the last call, before the server on whose threads the calls ran is destroyed: kept
  // connections live on them.
  void Close() { client_.CloseIdle(); }

  // How the answer ended: feeds the breaker. A call that was opened reports exactly once.
  void Report(const Target& target, CallStatus status, int http_status);

 private:
  http::AsyncClient client_;
  Breakers breakers_;
  Clock& clock_;
};

// The status for an error of common/http.
CallStatus CallStatusOf(const absl::Status& status);

// Reads a body to its end. RESOURCE_EXHAUSTED above `max_bytes`.
http::Task<absl::StatusOr<std::string>> ReadAll(http::AsyncStream& stream, size_t max_bytes);

}  // namespace crossover::router
