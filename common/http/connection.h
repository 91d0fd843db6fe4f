// One connection of the server. Private to common/http.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <string>

#include "common/http/async.h"
#include "common/http/route_table.h"
#include "common/log/logger.h"

namespace crossover::http {

// Lives on one io thread; everything runs there. Owned by its coroutine Run().
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, const ServerOptions& options,
             const RouteTable& routes, Logger& logger);

  // Serves requests until the connection ends.
  Task<void> Run();

  // Ends an idle connection; one in the middle of an answer ends after it.
  void CloseWhenIdle();
  // Cuts the connection.
  void Close();

 private:
  class RequestExchange;
  using HeadParser = boost::beast::http::request_parser<boost::beast::http::empty_body>;

  Task<bool> ServeOne(bool first);
  Task<absl::Status> ReadWholeBody(HeadParser& head, size_t limit, Request& request);
  Task<absl::Status> SendContinue(const Request& request);
  Task<absl::Status> WriteAll(std::string head, std::string_view body);
  Task<bool> RefuseAndClose(int status, std::string_view message, std::string_view code);

  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  const ServerOptions& options_;
  const RouteTable& routes_;
  Logger& logger_;
  std::string peer_;
  bool idle_ = true;
  bool closing_ = false;
};

// "HTTP/1.1 200 OK\r\n…\r\n\r\n" with Date-free, injection-safe header lines.
std::string ResponseHead(int status, const Headers& headers, bool keep_alive,
                         std::optional<size_t> content_length);

// {"error":{"message":…,"type":…,"param":null,"code":…}}
std::string OpenAiError(std::string_view message, std::string_view type, std::string_view code);

// UNAVAILABLE, DEADLINE_EXCEEDED (timeout) or CANCELLED (closed by us or the peer) of an I/O error.
absl::Status IoStatus(std::string_view what, const boost::system::error_code& code);

}  // namespace crossover::http
