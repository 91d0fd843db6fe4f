// HTTP/1.1 client, plain and TLS, for threads that may block. Coroutines use AsyncClient of
// common/http/async.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/http/message.h"

namespace crossover::http {

struct ClientOptions {
  absl::Duration connect_timeout = absl::Seconds(5);
  absl::Duration idle_timeout =
      absl::Seconds(60);       // a pooled connection unused for longer is closed
  int max_idle_per_host = 64;  // per thread
  size_t max_header_bytes = 64 << 10;
  size_t max_body_bytes = 256 << 20;  // Send only
  bool verify_tls = true;
  std::string ca_file;  // empty = the system's
  // Asked about every address ("10.0.0.7", "fe80::1") that a host resolves to, before anything is
  // sent there; those it refuses are never connected to. Empty = all are fine. Guards clients whose
  // URLs others choose; a name that resolves to another address later is asked about again.
  std::function<bool(const std::string& address)> may_connect;
};

struct ClientRequest {
  std::string method = "GET";
  std::string url;  // http://… or https://…
  Headers headers;  // Host, Content-Length and Connection are set by the client
  std::string body;
  absl::Duration timeout = absl::Seconds(60);              // from call to the end of the body
  absl::Duration read_timeout = absl::InfiniteDuration();  // between two reads of the answer
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
};

// Thread-safe. Owns one io thread and its pool of connections.
class Client {
 public:
  explicit Client(ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Blocks. Any status code is an answer, not an error. Errors as AsyncClient::Open.
  absl::StatusOr<ClientResponse> Send(ClientRequest request);

  // Blocks until the body ends; gives pieces to `on_body` as they arrive (on the calling thread).
  // `on_head` sees the response without a body first. Returning false from either cancels the call
  // (CANCELLED).
  absl::Status Stream(ClientRequest request,
                      const std::function<bool(const ClientResponse& head)>& on_head,
                      const std::function<bool(std::string_view piece)>& on_body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::http
