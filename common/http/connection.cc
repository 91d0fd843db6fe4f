#include "common/http/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/status.hpp>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http/asio_util.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::http {
namespace {

namespace asio = ::boost::asio;
namespace beast = ::boost::beast;
using ErrorCode = boost::system::error_code;

constexpr size_t kBodyPiece = 64 << 10;

Request ToRequest(const beast::http::request_header<>& head, std::string peer) {
  Request out;
  out.method = View(head.method_string());
  out.target = View(head.target());
  out.path = out.target.substr(0, out.target.find_first_of("?#"));
  for (const auto& field : head)
    out.headers.Add(View(field.name_string()), std::string(View(field.value())));
  out.peer = std::move(peer);
  return out;
}

std::string JsonString(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += ' ';
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

std::string OpenAiError(std::string_view message, std::string_view type, std::string_view code) {
  return "{\"error\":{\"message\":" + JsonString(message) + ",\"type\":" + JsonString(type) +
         ",\"param\":null,\"code\":" + JsonString(code) + "}}";
}

absl::Status IoStatus(std::string_view what, const ErrorCode& code) {
  const std::string message = absl::StrCat(ToAbsl(what), ": ", code.message());
  if (code == beast::error::timeout) {
    return Error(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                 std::string(what) + ": timed out");
  }
  if (code == asio::error::operation_aborted || code == asio::error::bad_descriptor) {
    return Error(absl::StatusCode::kCancelled, "CANCELLED", message);
  }
  return Error(absl::StatusCode::kUnavailable, "CONNECTION_LOST", message);
}

std::string ResponseHead(int status, const Headers& headers, bool keep_alive,
                         std::optional<size_t> content_length) {
  const auto reason = beast::http::obsolete_reason(static_cast<beast::http::status>(status));
  std::string out = absl::StrCat("HTTP/1.1 ", status, " ", ToAbsl(View(reason)), "\r\n");
  for (const auto& [name, value] : headers) {
    if (name.find_first_of("\r\n:") != std::string::npos) continue;  // would be another header
    out += name;
    out += ": ";
    for (const char c : value) {
      if (c != '\r' && c != '\n') out += c;
    }
    out += "\r\n";
  }
  if (content_length) {
    absl::StrAppend(&out, "Content-Length: ", *content_length, "\r\n");
  } else if (status != 204 && status != 304) {
    out += "Transfer-Encoding: chunked\r\n";
  }
  out += keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
  return out;
}

// The exchange of one request on this connection.
class Connection::RequestExchange final : public AsyncExchange {
 public:
  using BodyParser = beast::http::request_parser<beast::http::buffer_body>;

  RequestExchange(std::shared_ptr<Connection> connection, Request request, bool keep_alive)
      : connection_(std::move(connection)), request_(std::move(request)), keep_alive_(keep_alive) {}

  ~RequestExchange() override { StopWatching(); }

  void StreamBody(std::unique_ptr<BodyParser> parser) { body_ = std::move(parser); }

  Request& request() override { return request_; }
  asio::any_io_executor executor() const override { return connection_->stream_.get_executor(); }

  Task<absl::StatusOr<std::string>> ReadBody() override {
    if (body_ == nullptr) co_return std::string();
    if (std::exchange(continue_due_, false)) {
      const absl::Status sent = co_await connection_->SendContinue(request_);
      if (!sent.ok()) co_return sent;
    }
    std::string piece(kBodyPiece, '\0');
    while (!body_->is_done()) {
      body_->get().body().data = piece.data();
      body_->get().body().size = piece.size();
      connection_->stream_.expires_after(Chrono(connection_->options_.header_timeout));
      auto [code, n] = co_await beast::http::async_read_some(
          connection_->stream_, connection_->buffer_, *body_, kAwaitTuple);
      if (code == beast::http::error::need_buffer) code = {};
      if (code == beast::http::error::body_limit) {
        co_return Error(absl::StatusCode::kResourceExhausted, "BODY_TOO_LARGE",
                        "the request's body is too large");
      }
      if (code) {
        disconnected_ = true;
        co_return Error(absl::StatusCode::kCancelled, "CANCELLED",
                        "the client ended its upload early: " + code.message());
      }
      const size_t got = piece.size() - body_->get().body().size;
      if (got == 0) continue;
      piece.resize(got);
      co_return piece;
    }
    co_return std::string();
  }

  Task<absl::Status> Respond(Response response) override {
    if (started_) co_return absl::FailedPreconditionError("the request has been answered already");
    started_ = true;
    if (body_ != nullptr && !body_->is_done())
      keep_alive_ = false;  // what remains of the body is not read
    const bool bodyless = response.status == 204 || response.status == 304;
    const std::optional<size_t> length =
        bodyless ? std::nullopt : std::optional(response.body.size());
    std::string head = ResponseHead(response.status, response.headers, KeepAlive(), length);
    const bool silent = bodyless || request_.method == "HEAD";
    const absl::Status status = co_await connection_->WriteAll(
        std::move(head), silent ? std::string_view() : response.body);
    finished_ = status.ok();
    co_return status;
  }

  Task<absl::Status> Start(int status, Headers headers) override {
    if (started_) co_return absl::FailedPreconditionError("the request has been answered already");
    started_ = true;
    if (body_ != nullptr && !body_->is_done()) keep_alive_ = false;
    std::string head = ResponseHead(status, headers, KeepAlive(), std::nullopt);
    co_return co_await connection_->WriteAll(std::move(head), {});
  }

  Task<absl::Status> Write(std::string piece) override {
    if (disconnected_) co_return Gone();
    if (piece.empty() || request_.method == "HEAD") co_return absl::OkStatus();
    piece += "\r\n";
    std::string head = absl::StrCat(absl::Hex(piece.size() - 2), "\r\n");
    absl::Status status = co_await connection_->WriteAll(std::move(head), piece);
    if (status.ok()) co_return status;
    Disconnect();
    co_return Gone();
  }

  Task<absl::Status> Finish() override {
    if (disconnected_) co_return Gone();
    if (finished_) co_return absl::OkStatus();
    std::string last = request_.method == "HEAD" ? "" : "0\r\n\r\n";
    const absl::Status status = co_await connection_->WriteAll(std::move(last), {});
    finished_ = status.ok();
    co_return status;
  }

  bool Disconnected() const override { return disconnected_; }

  void OnDisconnect(std::function<void()> callback) override {
    if (disconnected_) {
      callback();
      return;
    }
    on_disconnect_ = std::move(callback);
    if (watching_ || (body_ != nullptr && !body_->is_done())) return;  // ReadBody notices by itself
    Watch();
  }

  void StopWatching() {
    on_disconnect_ = nullptr;
    if (watching_) watch_->signal.emit(asio::cancellation_type::all);
    if (watch_ != nullptr) watch_->exchange = nullptr;
    watching_ = false;
  }

  bool started() const { return started_; }
  bool finished() const { return finished_; }
  // The connection may serve another request.
  bool KeepAlive() const {
    return keep_alive_ && !connection_->closing_ && (body_ == nullptr || body_->is_done());
  }

 private:
  // Outlives the exchange until its wait has been cancelled.
  struct WatchState {
    RequestExchange* exchange = nullptr;
    asio::cancellation_signal signal;
  };

  // Waits until the socket is readable while the handler works: end of file or a reset means that
  // the client has gone; bytes are a pipelined request, which is read later.
  void Watch() {
    watching_ = true;
    watch_ = std::make_shared<WatchState>();
    watch_->exchange = this;
    auto on_readable = [watch = watch_, connection = connection_](const ErrorCode& code) {
      if (watch->exchange == nullptr || code == asio::error::operation_aborted) return;
      watch->exchange->watching_ = false;
      char byte;
      const ssize_t n =
          ::recv(connection->stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      const bool alive = n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
      if (!alive) watch->exchange->Disconnect();
    };
    connection_->stream_.socket().async_wait(
        asio::ip::tcp::socket::wait_read,
        asio::bind_cancellation_slot(watch_->signal.slot(), std::move(on_readable)));
  }

  void Disconnect() {
    disconnected_ = true;
    if (auto callback = std::exchange(on_disconnect_, nullptr)) callback();
  }

  static absl::Status Gone() {
    return Error(absl::StatusCode::kCancelled, "CANCELLED", "the client has closed the connection");
  }

  const std::shared_ptr<Connection> connection_;
  Request request_;
  bool keep_alive_;
  std::unique_ptr<BodyParser> body_;
  bool continue_due_ = true;
  bool started_ = false;
  bool finished_ = false;
  std::atomic<bool> disconnected_ = false;  // blocking handlers ask from their own thread
  bool watching_ = false;
  std::function<void()> on_disconnect_;
  std::shared_ptr<WatchState> watch_;
};

Connection::Connection(asio::ip::tcp::socket socket, const ServerOptions& options,
                       const RouteTable& routes, Logger& logger)
    : stream_(std::move(socket)), options_(options), routes_(routes), logger_(logger) {
  ErrorCode code;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), code);
  const auto endpoint = stream_.socket().remote_endpoint(code);
  if (!code) peer_ = absl::StrCat(endpoint.address().to_string(), ":", endpoint.port());
}

void Connection::CloseWhenIdle() {
  closing_ = true;
  if (idle_) Close();
}

void Connection::Close() {
  ErrorCode ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.close();
}

Task<void> Connection::Run() {
  bool first = true;
  while (co_await ServeOne(first)) first = false;
  ErrorCode ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  stream_.close();
}

Task<absl::Status> Connection::WriteAll(std::string head, std::string_view body) {
  stream_.expires_after(Chrono(options_.write_timeout));
  const std::array<asio::const_buffer, 2> buffers = {asio::buffer(head),
                                                     asio::buffer(body.data(), body.size())};
  auto [code, n] = co_await asio::async_write(stream_, buffers, kAwaitTuple);
  stream_.expires_never();
  if (!code) co_return absl::OkStatus();
  co_return Error(absl::StatusCode::kCancelled, "CANCELLED",
                  "the client took no more bytes: " + code.message());
}

Task<absl::Status> Connection::SendContinue(const Request& request) {
  const auto expect = request.headers.Get("Expect");
  if (!expect || *expect != "100-continue") co_return absl::OkStatus();
  std::string line = "HTTP/1.1 100 Continue\r\n\r\n";
  co_return co_await WriteAll(std::move(line), {});
}

// Answers a request whose rest is not worth reading.
Task<bool> Connection::RefuseAndClose(int status, std::string_view message, std::string_view code) {
  const std::string body = OpenAiError(message, "invalid_request_error", code);
  const Headers headers{{"Content-Type", "application/json"}};
  std::string head = ResponseHead(status, headers, false, body.size());
  co_await WriteAll(std::move(head), body);
  // Reads what the client still sends for a moment, so that the answer is not lost in a reset.
  ErrorCode ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  stream_.expires_after(std::chrono::seconds(1));
  std::array<char, 4096> sink;
  for (int i = 0; i < 1000; ++i) {
    auto [error, n] = co_await stream_.async_read_some(asio::buffer(sink), kAwaitTuple);
    if (error) break;
  }
  co_return false;
}

Task<absl::Status> Connection::ReadWholeBody(HeadParser& head, size_t limit, Request& request) {
  beast::http::request_parser<beast::http::string_body> parser(std::move(head));
  parser.body_limit(limit);
  const absl::Status sent = co_await SendContinue(request);
  if (!sent.ok()) co_return sent;
  while (!parser.is_done()) {
    stream_.expires_after(Chrono(options_.header_timeout));
    auto [code, n] = co_await beast::http::async_read_some(stream_, buffer_, parser, kAwaitTuple);
    if (code == beast::http::error::body_limit) {
      co_return Error(absl::StatusCode::kResourceExhausted, "BODY_TOO_LARGE", "too large");
    }
    if (code) co_return IoStatus("reading the request's body", code);
  }
  request.body = std::move(parser.get().body());
  co_return absl::OkStatus();
}

// One request and its answer. False ends the connection.
Task<bool> Connection::ServeOne(bool first) {
  idle_ = true;
  if (closing_ && !first) co_return false;
  HeadParser head;
  head.header_limit(static_cast<uint32_t>(options_.max_header_bytes));
  head.body_limit(boost::none);
  stream_.expires_after(Chrono(first ? options_.header_timeout : options_.idle_timeout));
  auto [code, n] = co_await beast::http::async_read_header(stream_, buffer_, head, kAwaitTuple);
  if (code == beast::http::error::end_of_stream || code == beast::error::timeout ||
      code == asio::error::connection_reset || code == asio::error::operation_aborted) {
    co_return false;
  }
  idle_ = false;
  if (code == beast::http::error::header_limit) {
    co_return co_await RefuseAndClose(431, "the request's headers are too large",
                                      "headers_too_large");
  }
  if (code)
    co_return co_await RefuseAndClose(400, "this is not an HTTP request: " + code.message(),
                                      "bad_request");
  stream_.expires_never();

  Request request = ToRequest(head.get().base(), peer_);
  RouteTable::Match match = routes_.Find(request.method, request.path);
  request.params = std::move(match.params);
  const RouteOptions options = match.route == nullptr ? RouteOptions{} : match.route->options;
  const size_t limit =
      options.max_body_bytes > 0 ? options.max_body_bytes : options_.max_body_bytes;
  const bool keep_alive = head.get().keep_alive();
  const bool too_large =
      head.content_length() && *head.content_length() > limit && !options.stream_body;

  if (too_large) {
    co_return co_await RefuseAndClose(413,
                                      absl::StrCat("the request's body is too large: at most ",
                                                   limit, " bytes are accepted here"),
                                      "body_too_large");
  }
  std::unique_ptr<RequestExchange::BodyParser> body;
  if (options.stream_body) {
    body = std::make_unique<RequestExchange::BodyParser>(std::move(head));
    if (options.max_body_bytes > 0) body->body_limit(options.max_body_bytes);
  } else {
    const absl::Status status = co_await ReadWholeBody(head, limit, request);
    if (HasReason(status, "BODY_TOO_LARGE")) {
      co_return co_await RefuseAndClose(413,
                                        absl::StrCat("the request's body is too large: at most ",
                                                     limit, " bytes are accepted here"),
                                        "body_too_large");
    }
    if (!status.ok()) co_return false;
  }
  stream_.expires_never();

  RequestExchange exchange(shared_from_this(), std::move(request), keep_alive);
  if (body != nullptr) exchange.StreamBody(std::move(body));
  if (match.route == nullptr) {
    Response response;
    if (match.allow.empty()) {
      response = Response::Json(404, OpenAiError("unknown path " + exchange.request().path,
                                                 "invalid_request_error", "not_found"));
    } else {
      response = Response::Json(405, OpenAiError("this path allows " + match.allow,
                                                 "invalid_request_error", "method_not_allowed"));
      response.headers.Set("Allow", match.allow);
    }
    const absl::Status status = co_await exchange.Respond(std::move(response));
    co_return status.ok() && exchange.KeepAlive();
  }
  std::string failure;
  try {
    co_await match.route->handler(exchange);
  } catch (const std::exception& e) {
    failure = e.what();
  } catch (...) {
    failure = "unknown exception";
  }
  exchange.StopWatching();
  const bool unanswered = !exchange.started() && !exchange.Disconnected();
  if (unanswered && failure.empty()) failure = "the handler returned without answering";
  if (!failure.empty()) {
    logger_.Error("http_handler_failed", {{"path", exchange.request().path}, {"error", failure}});
  }
  if (unanswered) {
    Response response =
        Response::Json(500, OpenAiError("internal error", "server_error", "internal_error"));
    (void)co_await exchange.Respond(std::move(response));
  }
  co_return exchange.finished() && exchange.KeepAlive();
}

}  // namespace crossover::http
