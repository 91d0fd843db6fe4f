// One connection of the client, plain or TLS. Private to common/http.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/http/async.h"

namespace crossover::http {

// Lives on one executor. Every operation ends at the deadline that is set with ExpiresAfter.
class ClientConnection {
 public:
  // `tls` = nullptr: plain.
  ClientConnection(const boost::asio::any_io_executor& executor, boost::asio::ssl::context* tls);

  // Resolves, connects and, with TLS, shakes hands. Only to addresses that `may_connect` lets pass
  // (empty = all): UNAVAILABLE ADDRESS_REFUSED if none is left.
  Task<absl::Status> Connect(const Url& url, absl::Duration timeout,
                             const std::function<bool(const std::string&)>& may_connect);

  void ExpiresAfter(absl::Duration duration);
  // Ends pending operations.
  void Close();
  // False if the server has closed the connection or sent something unasked while it was idle.
  bool StillUsable();

  // Calls `fn` with the stream, whichever it is: both have the same interface. Returns what `fn`
  // returns, an awaitable.
  template <typename Fn>
  auto WithStream(Fn fn) {
    return tls_ != nullptr ? fn(*tls_) : fn(*plain_);
  }

  boost::beast::flat_buffer& buffer() { return buffer_; }

  absl::Duration idle_since;  // of the pool

 private:
  using Tls = boost::beast::ssl_stream<boost::beast::tcp_stream>;
  boost::beast::tcp_stream& Lowest() { return tls_ != nullptr ? tls_->next_layer() : *plain_; }

  std::unique_ptr<boost::beast::tcp_stream> plain_;
  std::unique_ptr<Tls> tls_;
  boost::beast::flat_buffer buffer_;
  bool closed_ = false;
};

}  // namespace crossover::http
