#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http/asio_util.h"
#include "common/http/async.h"
#include "common/http/client_connection.h"
#include "common/http/connection.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "common/time/clock.h"

namespace crossover::http {
namespace {

namespace asio = ::boost::asio;
namespace beast = ::boost::beast;
using ErrorCode = boost::system::error_code;
using Parser = beast::http::response_parser<beast::http::buffer_body>;

constexpr size_t kPiece = 32 << 10;

std::string RequestHead(const ClientRequest& request, const Url& url) {
  const bool default_port = url.port == (url.scheme == "https" ? 443 : 80);
  const bool ipv6 = url.host.find(':') != std::string::npos;
  std::string out = absl::StrCat(request.method, " ", url.target,
                                 " HTTP/1.1\r\nHost: ", ipv6 ? "[" : "", url.host, ipv6 ? "]" : "",
                                 default_port ? "" : absl::StrCat(":", url.port), "\r\n");
  for (const auto& [name, value] : request.headers) {
    if (name.find_first_of("\r\n:") != std::string::npos) continue;  // would be another header
    out += name;
    out += ": ";
    for (const char c : value) {
      if (c != '\r' && c != '\n') out += c;
    }
    out += "\r\n";
  }
  const bool has_body =
      !request.body.empty() || (request.method != "GET" && request.method != "HEAD");
  if (has_body) absl::StrAppend(&out, "Content-Length: ", request.body.size(), "\r\n");
  return out + "\r\n";
}

absl::Status Cancelled() {
  return Error(absl::StatusCode::kCancelled, "CANCELLED", "the call was cancelled");
}

bool IsIdempotent(const std::string& method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS";
}

}  // namespace

// Shared by the token's copies and the call: the call says how to cut it short.
struct CancelToken::State {
  bool cancelled = false;
  std::function<void()> cut;
};

CancelToken::CancelToken() : state_(std::make_shared<State>()) {}

void CancelToken::Cancel() {
  state_->cancelled = true;
  if (auto cut = std::exchange(state_->cut, nullptr)) cut();
}

bool CancelToken::cancelled() const { return state_->cancelled; }

struct AsyncClient::Impl : std::enable_shared_from_this<AsyncClient::Impl> {
  using Key = std::pair<const void*, std::string>;  // execution context, scheme://host:port

  explicit Impl(ClientOptions client_options)
      : options(std::move(client_options)), tls(asio::ssl::context::tls_client) {
    ErrorCode ignored;
    if (options.ca_file.empty()) {
      tls.set_default_verify_paths(ignored);
    } else {
      tls.load_verify_file(options.ca_file,
                           ignored);  // a wrong file makes every handshake fail with its reason
    }
    tls.set_verify_mode(options.verify_tls ? asio::ssl::verify_peer : asio::ssl::verify_none,
                        ignored);
  }

  static Key KeyOf(const asio::any_io_executor& executor, const Url& url) {
    return {&asio::query(executor, asio::execution::context),
            absl::StrCat(url.scheme, "://", url.host, ":", url.port)};
  }

  // An idle connection that is still good, or nullptr.
  std::unique_ptr<ClientConnection> TakeIdle(const Key& key) {
    std::lock_guard lock(mutex);
    const auto it = idle.find(key);
    if (it == idle.end()) return nullptr;
    const absl::Duration now = SystemClock().SteadyNow();
    while (!it->second.empty()) {
      std::unique_ptr<ClientConnection> connection = std::move(it->second.back());
      it->second.pop_back();
      if (now - connection->idle_since < options.idle_timeout && connection->StillUsable())
        return connection;
    }
    return nullptr;
  }

  void Return(const Key& key, std::unique_ptr<ClientConnection> connection) {
    connection->idle_since = SystemClock().SteadyNow();
    std::lock_guard lock(mutex);
    auto& list = idle[key];
    if (static_cast<int>(list.size()) < options.max_idle_per_host)
      list.push_back(std::move(connection));
  }

  const ClientOptions options;
  asio::ssl::context tls;
  std::mutex mutex;
  std::map<Key, std::vector<std::unique_ptr<ClientConnection>>> idle;
};

namespace {

// One call from its connection to the end of its body.
class Stream final : public AsyncStream {
 public:
  Stream(std::shared_ptr<AsyncClient::Impl> client, AsyncClient::Impl::Key key,
         std::unique_ptr<ClientConnection> connection, CancelToken cancel, absl::Duration end,
         absl::Duration read_timeout)
      : client_(std::move(client)),
        key_(std::move(key)),
        connection_(std::move(connection)),
        cancel_(std::move(cancel)),
        end_(end),
        read_timeout_(read_timeout) {
    cancel_.state()->cut = [connection = connection_.get()] { connection->Close(); };
  }

  ~Stream() override { Detach(); }

  int status() const override { return status_; }
  const Headers& headers() const override { return headers_; }

  // Sends the request and reads the answer's head. `got_bytes` tells whether the server has said
  // anything.
  Task<absl::Status> Exchange(const std::string& head, const std::string& body, bool skip_body) {
    Arm(absl::InfiniteDuration());
    const std::array<asio::const_buffer, 2> buffers = {asio::buffer(head), asio::buffer(body)};
    auto [write_code, written] = co_await connection_->WithStream(
        [&](auto& stream) { return asio::async_write(stream, buffers, kAwaitTuple); });
    if (write_code) co_return Fail("sending the request", write_code);
    do {
      NewParser(skip_body);  // again after a "100 Continue"
      Arm(read_timeout_);
      auto [code, n] = co_await connection_->WithStream([&](auto& stream) {
        return beast::http::async_read_header(stream, connection_->buffer(), *parser_, kAwaitTuple);
      });
      if (code) co_return Fail("waiting for the answer", code);
    } while (parser_->get().result_int() == 100);
    status_ = static_cast<int>(parser_->get().result_int());
    for (const auto& field : parser_->get().base()) {
      headers_.Add(View(field.name_string()), std::string(View(field.value())));
    }
    co_return absl::OkStatus();
  }

  Task<absl::StatusOr<std::string>> Read() override {
    if (!failure_.ok()) co_return failure_;
    std::string piece(kPiece, '\0');
    while (connection_ != nullptr && !parser_->is_done()) {
      parser_->get().body().data = piece.data();
      parser_->get().body().size = piece.size();
      parser_->get().body().more = true;
      Arm(read_timeout_);
      auto [code, n] = co_await connection_->WithStream([&](auto& stream) {
        return beast::http::async_read_some(stream, connection_->buffer(), *parser_, kAwaitTuple);
      });
      if (code == beast::http::error::need_buffer) code = {};
      const size_t got = piece.size() - parser_->get().body().size;
      if (code && !(code == beast::http::error::end_of_stream && parser_->is_done())) {
        co_return Fail("reading the answer", code);
      }
      if (got == 0) continue;
      piece.resize(got);
      if (parser_->is_done()) Detach();
      co_return piece;
    }
    Detach();
    co_return std::string();
  }

  void Cancel() override { cancel_.Cancel(); }

  // Nothing of an answer has arrived, so a connection that the server had just closed is likely.
  bool Untouched() const { return !parser_ || !parser_->got_some(); }

 private:
  void Arm(absl::Duration limit) {
    connection_->ExpiresAfter(std::min(limit, end_ - SystemClock().SteadyNow()));
  }

  void NewParser(bool skip_body) {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(client_->options.max_header_bytes));
    parser_->body_limit(boost::none);
    parser_->skip(skip_body);
  }

  absl::Status Fail(std::string_view what, const ErrorCode& code) {
    absl::Status status = cancel_.cancelled() ? Cancelled() : IoStatus(what, code);
    if (status.code() == absl::StatusCode::kCancelled && !cancel_.cancelled()) {
      status = Error(absl::StatusCode::kUnavailable, "CONNECTION_LOST",
                     std::string(what) + ": connection closed");
    }
    failure_ = status;
    connection_->Close();
    return status;
  }

  // Gives the connection back, or closes it if the answer isn't complete.
  void Detach() {
    if (connection_ == nullptr) return;
    cancel_.state()->cut = nullptr;
    if (failure_.ok() && parser_ && parser_->is_done() && parser_->keep_alive() &&
        !cancel_.cancelled()) {
      client_->Return(key_, std::move(connection_));
    }
    connection_.reset();
  }

  const std::shared_ptr<AsyncClient::Impl> client_;
  const AsyncClient::Impl::Key key_;
  std::unique_ptr<ClientConnection> connection_;
  CancelToken cancel_;
  const absl::Duration end_;
  const absl::Duration read_timeout_;
  std::optional<Parser> parser_;
  int status_ = 0;
  Headers headers_;
  absl::Status failure_;
};

}  // namespace

void AsyncClient::CloseIdle() {
  std::lock_guard lock(impl_->mutex);
  impl_->idle.clear();
}

AsyncClient::AsyncClient(ClientOptions options)
    : impl_(std::make_shared<Impl>(std::move(options))) {}

AsyncClient::~AsyncClient() = default;

Task<absl::StatusOr<std::unique_ptr<AsyncStream>>> AsyncClient::Open(ClientRequest request,
                                                                     CancelToken cancel) {
  const std::shared_ptr<Impl> impl = impl_;
  const std::optional<Url> url = ParseUrl(request.url);
  if (!url) {
    co_return Error(
        absl::StatusCode::kInvalidArgument, "URL_INVALID",
        "'" + request.url + "' is not a URL: expected http://host:port/path or https://…");
  }
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const Impl::Key key = Impl::KeyOf(executor, *url);
  const absl::Duration end = SystemClock().SteadyNow() + request.timeout;
  const std::string head = RequestHead(request, *url);
  for (;;) {
    if (cancel.cancelled()) co_return Cancelled();
    std::unique_ptr<ClientConnection> connection = impl->TakeIdle(key);
    const bool reused = connection != nullptr;
    if (!reused) {
      connection = std::make_unique<ClientConnection>(
          executor, url->scheme == "https" ? &impl->tls : nullptr);
      cancel.state()->cut = [c = connection.get()] { c->Close(); };
      const absl::Duration limit =
          std::min(impl->options.connect_timeout, end - SystemClock().SteadyNow());
      const absl::Status connected =
          co_await connection->Connect(*url, limit, impl->options.may_connect);
      cancel.state()->cut = nullptr;
      if (!connected.ok()) co_return connected;
    }
    auto stream = std::make_unique<Stream>(impl, key, std::move(connection), cancel, end,
                                           request.read_timeout);
    const absl::Status status =
        co_await stream->Exchange(head, request.body, request.method == "HEAD");
    if (status.ok()) co_return std::unique_ptr<AsyncStream>(std::move(stream));
    const bool stale =
        reused && status.code() == absl::StatusCode::kUnavailable && stream->Untouched();
    if (!stale || !IsIdempotent(request.method)) co_return status;
  }
}

Task<absl::StatusOr<ClientResponse>> AsyncClient::Send(ClientRequest request, CancelToken cancel) {
  const size_t limit = impl_->options.max_body_bytes;
  absl::StatusOr<std::unique_ptr<AsyncStream>> stream =
      co_await Open(std::move(request), std::move(cancel));
  if (!stream.ok()) co_return stream.status();
  ClientResponse out{.status = (*stream)->status(), .headers = (*stream)->headers()};
  for (;;) {
    absl::StatusOr<std::string> piece = co_await (*stream)->Read();
    if (!piece.ok()) co_return piece.status();
    if (piece->empty()) co_return out;
    if (out.body.size() + piece->size() > limit) {
      co_return Error(absl::StatusCode::kResourceExhausted, "BODY_TOO_LARGE",
                      absl::StrCat("the answer has more than ", limit, " bytes"));
    }
    out.body += *piece;
  }
}

}  // namespace crossover::http
