// HTTP/1.1 server on Boost.Beast: one io_context (one thread) per configured thread, each
// connection stays on its own.
//
// Three kinds of handler:
//  - Handle: plain function of a whole request, on a pool of worker threads; may block (admin
//  pages, /metrics).
//  - HandleStream: as above with an Exchange: streams the answer and, if asked, the request body;
//  may block (uploads, SSE).
//  - HandleAsync: a coroutine on the connection's own thread; must not block. For hot paths
//  (common/http/async.h).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/http/message.h"
#include "common/log/logger.h"

namespace crossover::http {

struct ServerOptions {
  std::string address = "127.0.0.1";
  int port = 0;            // 0 = any free port, see Server::port()
  int threads = 1;         // io threads
  int worker_threads = 4;  // for Handle and HandleStream
  size_t max_header_bytes = 64 << 10;
  size_t max_body_bytes = 64 << 20;  // whole-body routes; above: 413
  int max_connections = 10'000;      // above: accepted and closed with 503
  absl::Duration header_timeout =
      absl::Seconds(30);  // to receive a request's head (and body, between reads)
  absl::Duration idle_timeout = absl::Seconds(75);  // between requests of a keep-alive connection
  absl::Duration write_timeout =
      absl::Seconds(60);  // one write to a slow reader; then the connection is closed
};

struct RouteOptions {
  size_t max_body_bytes = 0;  // 0 = the server's
  bool stream_body = false;   // the body is read by the handler (Exchange::ReadBody), unlimited
                              // unless max_body_bytes is set
};

// A request and the way to answer it, for blocking handlers. Used by one thread. If the handler
// returns without answering, the client gets 500; if it returns in the middle of a stream, the
// connection is cut so that the client sees the truncation.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;

  // Next piece of a streamed request body; empty at the end. CANCELLED if the client went away.
  virtual absl::StatusOr<std::string> ReadBody() = 0;

  // Answers at once.
  virtual absl::Status Respond(Response response) = 0;

  // Answers in pieces (chunked). Write blocks until the socket took the piece: that is the
  // backpressure. CANCELLED once the client has gone.
  virtual absl::Status Start(int status, Headers headers) = 0;
  virtual absl::Status Write(std::string_view piece) = 0;
  virtual absl::Status Finish() = 0;

  // The client has closed the connection.
  virtual bool Disconnected() const = 0;
  // Calls `callback` once, on an io thread, when the client goes away before the answer is complete
  // (at once if it has). Never called after the handler returned. Must not block.
  virtual void OnDisconnect(std::function<void()> callback) = 0;
};

using Handler = std::function<Response(const Request&)>;
using StreamHandler = std::function<void(Exchange&)>;

class AsyncRoutes;  // common/http/async.h

// Routes are added before Start. Patterns: "/v1/jobs/{id}/cancel"; a last segment "{rest...}" takes
// what remains. Literal segments win over {…}. Unknown path: 404, known path with another method:
// 405, both with an OpenAI error body.
class Server {
 public:
  Server(ServerOptions options, Logger& logger);
  ~Server();  // Stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void Handle(std::string_view method, std::string_view pattern, Handler handler,
              RouteOptions options = {});
  void HandleStream(std::string_view method, std::string_view pattern, StreamHandler handler,
                    RouteOptions options = {});
  // HandleAsync: `#include "common/http/async.h"` and call async().Handle(…).
  AsyncRoutes& async();

  // Binds and serves. UNAVAILABLE `PORT_IN_USE` names the port and the option; PERMISSION_DENIED
  // below 1024.
  absl::Status Start();
  int port() const;

  // Stops accepting; answers in progress may finish for `grace`, then connections are cut.
  // Idempotent; blocks.
  void Stop(absl::Duration grace = absl::ZeroDuration());

  // Connections open now.
  int connections() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

// GET /metrics, /healthz (200 while the process lives and `alive`, if given, returns OK; then 503
// with the reason, for those who restart what hangs) and /readyz (503 with the reason until `ready`
// returns OK).
void AddMetricsRoute(Server& server, std::function<std::string()> expose);
void AddHealthRoutes(Server& server, std::function<absl::Status()> ready,
                     std::function<absl::Status()> alive = nullptr);

}  // namespace crossover::http
