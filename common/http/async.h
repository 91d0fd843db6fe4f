// The coroutine face of common/http: handlers and client calls that never block a thread. Shows
// Asio, not Beast.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/http/client.h"
#include "common/http/message.h"
#include "common/http/server.h"

namespace crossover::http {

template <typename T>
using Task = boost::asio::awaitable<T>;

// The same promises as Exchange, for a coroutine on the connection's thread. Not thread-safe; use
// it on its executor only.
class AsyncExchange {
 public:
  virtual ~AsyncExchange() = default;
  virtual Request& request() = 0;
  virtual boost::asio::any_io_executor executor() const = 0;

  virtual Task<absl::StatusOr<std::string>> ReadBody() = 0;
  virtual Task<absl::Status> Respond(Response response) = 0;
  virtual Task<absl::Status> Start(int status, Headers headers) = 0;
  virtual Task<absl::Status> Write(std::string piece) = 0;
  virtual Task<absl::Status> Finish() = 0;

  virtual bool Disconnected() const = 0;
  virtual void OnDisconnect(std::function<void()> callback) = 0;
};

// Takes the exchange by reference; it lives until the coroutine ends.
using AsyncHandler = std::function<Task<void>(AsyncExchange&)>;

class AsyncRoutes {
 public:
  virtual ~AsyncRoutes() = default;
  virtual void Handle(std::string_view method, std::string_view pattern, AsyncHandler handler,
                      RouteOptions options = {}) = 0;
  // The io threads' executors, after Start: for background coroutines and timers that belong to a
  // thread.
  virtual std::vector<boost::asio::any_io_executor> Executors() = 0;
};

// An answer whose body is still coming. Used on the executor it was opened on.
class AsyncStream {
 public:
  virtual ~AsyncStream() = default;  // a body that was not read to its end closes the connection
  virtual int status() const = 0;
  virtual const Headers& headers() const = 0;
  // Next piece of the body as it arrives (chunked coding removed); empty at the end.
  virtual Task<absl::StatusOr<std::string>> Read() = 0;
  // Ends a pending Read with CANCELLED and closes the connection. May be called from the executor
  // at any time.
  virtual void Cancel() = 0;
};

// Cancels a call that is under way, also before its first byte. Cheap to copy; use it on the call's
// executor.
class CancelToken {
 public:
  CancelToken();
  void Cancel();
  bool cancelled() const;

  struct State;
  const std::shared_ptr<State>& state() const { return state_; }

 private:
  std::shared_ptr<State> state_;
};

// Pooled keep-alive connections per (executor, host): a connection never changes threads.
// Thread-safe.
class AsyncClient {
 public:
  explicit AsyncClient(ClientOptions options = {});
  ~AsyncClient();
  AsyncClient(const AsyncClient&) = delete;
  AsyncClient& operator=(const AsyncClient&) = delete;

  // Runs on the calling coroutine's executor. Errors: UNAVAILABLE (refused, reset, TLS;
  // `metadata.sent`="false" when the request cannot have reached the server and may be retried),
  // DEADLINE_EXCEEDED, CANCELLED.
  Task<absl::StatusOr<std::unique_ptr<AsyncStream>>> Open(ClientRequest request,
                                                          CancelToken cancel = {});
  // Open and read all; RESOURCE_EXHAUSTED above max_body_bytes.
  Task<absl::StatusOr<ClientResponse>> Send(ClientRequest request, CancelToken cancel = {});

  struct Impl;

  // Closes the connections that wait for reuse. Before the executors of the calls end, and while no
  // call runs.
  void CloseIdle();

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace crossover::http
