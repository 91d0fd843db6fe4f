// Requests and responses as plain values. No Boost in this header.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace crossover::http {

// Header fields in order, names compared without case.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> fields) : fields_(fields) {}

  // The first value of `name`, or nullopt.
  std::optional<std::string_view> Get(std::string_view name) const;
  bool Has(std::string_view name) const { return Get(name).has_value(); }
  // Replaces all fields of that name.
  void Set(std::string_view name, std::string value);
  void Add(std::string_view name, std::string value) {
    fields_.emplace_back(name, std::move(value));
  }
  void Remove(std::string_view name);

  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// What a server received.
struct Request {
  std::string method;                         // "GET"
  std::string target;                         // as sent: path and query
  std::string path;                           // before '?', percent-encoding kept
  std::map<std::string, std::string> params;  // {name} segments of the route's pattern, decoded
  Headers headers;
  std::string body;  // empty for routes that stream their body
  std::string peer;  // "127.0.0.1:54321"

  // Decoded value of a query parameter, or nullopt.
  std::optional<std::string> Query(std::string_view name) const;
  // All query parameters, decoded, in order (e.g. metadata[k]=v).
  std::vector<std::pair<std::string, std::string>> QueryAll() const;
};

// A whole response. Content-Length is set by the server.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;

  static Response Json(int status, std::string body);
  static Response Text(int status, std::string body);
};

// Percent-decoding; '+' becomes a space only if `plus_is_space`. Malformed escapes are kept as they
// are.
std::string UrlDecode(std::string_view text, bool plus_is_space = false);
std::string UrlEncode(std::string_view text);

// "http://host:port/base" taken apart. port is 80 or 443 if absent.
struct Url {
  std::string scheme;
  std::string host;
  int port = 0;
  std::string target = "/";
};
std::optional<Url> ParseUrl(std::string_view text);

}  // namespace crossover::http
