#include "services/shadow_router/edge/passed_headers.h"

#include <array>
#include <cctype>
#include <string>
#include <string_view>

namespace crossover::router {
namespace {

// Of an upstream's answer, what the client may see.
constexpr std::array<std::string_view, 5> kPassed = {
    "openai-processing-ms", "retry-after", "retry-after-ms", "x-should-retry", "openai-version"};
constexpr std::string_view kRateLimitPrefix = "x-ratelimit-";

bool StartsWithoutCase(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  for (size_t i = 0; i < prefix.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(text[i])) != prefix[i]) return false;
  }
  return true;
}

}  // namespace

http::Headers PassedHeaders(const http::Headers& from) {
  http::Headers to;
  for (std::string_view name : kPassed) {
    if (const auto value = from.Get(name)) to.Set(name, std::string(*value));
  }
  for (const auto& [name, value] : from) {
    if (StartsWithoutCase(name, kRateLimitPrefix)) to.Add(name, value);
  }
  return to;
}

bool IsStream(const http::Headers& headers) {
  const auto type = headers.Get("content-type");
  return type && StartsWithoutCase(*type, "text/event-stream");
}

}  // namespace crossover::router
