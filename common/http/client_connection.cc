#include "common/http/client_connection.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/http/asio_util.h"
#include "common/http/connection.h"
#include "common/status/error.h"

namespace crossover::http {
namespace {

namespace asio = ::boost::asio;
namespace beast = ::boost::beast;
using ErrorCode = boost::system::error_code;
using Tcp = asio::ip::tcp;

// Nothing has been sent yet: the call may be tried elsewhere.
absl::Status ConnectError(const Url& url, const std::string& why) {
  return Error(
      absl::StatusCode::kUnavailable,
      absl::StrCat("cannot connect to ", url.scheme, "://", url.host, ":", url.port, ": ", why),
      {.reason = "CONNECT_FAILED", .metadata = {{"sent", "false"}}});
}

absl::Status AddressRefused(const Url& url) {
  return Error(absl::StatusCode::kUnavailable,
               absl::StrCat(url.host, " resolves to no address that may be connected to"),
               {.reason = "ADDRESS_REFUSED", .metadata = {{"sent", "false"}}});
}

Task<absl::StatusOr<std::vector<Tcp::endpoint>>> Resolve(const asio::any_io_executor& executor,
                                                         const Url& url, absl::Duration timeout) {
  ErrorCode code;
  const auto literal = asio::ip::make_address(url.host, code);
  std::vector<Tcp::endpoint> out;
  if (!code) {
    out.emplace_back(literal, static_cast<unsigned short>(url.port));
    co_return out;
  }
  Tcp::resolver resolver(executor);
  asio::steady_timer timer(executor, Chrono(timeout));
  timer.async_wait([&resolver](const ErrorCode& timer_code) {
    if (!timer_code) resolver.cancel();
  });
  const std::string port = std::to_string(url.port);
  auto [error, results] = co_await resolver.async_resolve(url.host, port, kAwaitTuple);
  timer.cancel();
  if (error) co_return ConnectError(url, error.message());
  for (const auto& result : results) out.push_back(result.endpoint());
  co_return out;
}

}  // namespace

ClientConnection::ClientConnection(const asio::any_io_executor& executor, asio::ssl::context* tls) {
  if (tls != nullptr) {
    tls_ = std::make_unique<Tls>(executor, *tls);
  } else {
    plain_ = std::make_unique<beast::tcp_stream>(executor);
  }
}

Task<absl::Status> ClientConnection::Connect(
    const Url& url, absl::Duration timeout,
    const std::function<bool(const std::string&)>& may_connect) {
  absl::StatusOr<std::vector<Tcp::endpoint>> endpoints =
      co_await Resolve(Lowest().get_executor(), url, timeout);
  if (!endpoints.ok()) co_return endpoints.status();
  if (may_connect) {
    std::erase_if(*endpoints, [&](const Tcp::endpoint& endpoint) {
      return !may_connect(endpoint.address().to_string());
    });
    if (endpoints->empty()) co_return AddressRefused(url);
  }
  if (closed_) co_return Error(absl::StatusCode::kCancelled, "CANCELLED", "the call was cancelled");
  Lowest().expires_after(Chrono(timeout));
  auto [code, endpoint] = co_await Lowest().async_connect(*endpoints, kAwaitTuple);
  if (closed_) co_return Error(absl::StatusCode::kCancelled, "CANCELLED", "the call was cancelled");
  if (code)
    co_return ConnectError(url, code == beast::error::timeout ? "timed out" : code.message());
  ErrorCode ignored;
  Lowest().socket().set_option(Tcp::no_delay(true), ignored);
  if (tls_ == nullptr) co_return absl::OkStatus();
  ::SSL_set_tlsext_host_name(tls_->native_handle(), url.host.c_str());
  tls_->set_verify_callback(asio::ssl::host_name_verification(url.host), ignored);
  auto [handshake] = co_await tls_->async_handshake(asio::ssl::stream_base::client, kAwaitTuple);
  if (handshake) co_return ConnectError(url, "TLS: " + handshake.message());
  co_return absl::OkStatus();
}

void ClientConnection::ExpiresAfter(absl::Duration duration) {
  Lowest().expires_after(Chrono(duration));
}

void ClientConnection::Close() {
  closed_ = true;
  Lowest().close();
}

bool ClientConnection::StillUsable() {
  char byte;
  const ssize_t n = ::recv(Lowest().socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace crossover::http
