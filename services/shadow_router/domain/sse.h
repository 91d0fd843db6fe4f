// Server-sent events, cut into events as bytes arrive:
// https://html.spec.whatwg.org/multipage/server-sent-events.html
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace crossover::router {

// Bytes may be cut anywhere, inside a UTF-8 sequence or between CR and LF too. CR, LF and CRLF end
// a line; comments (`:`) are passed on as part of the raw text. Not thread-safe.
class SseParser {
 public:
  // `data`: the event's data lines joined by '\n', empty if it has none. `raw`: the event's bytes
  // with the blank line that ends it. Both are valid during the call only.
  using OnEvent = std::function<void(std::string_view data, std::string_view raw)>;

  void Feed(std::string_view bytes, const OnEvent& on_event);

  // Bytes of an event that has not ended yet.
  std::string_view rest() const { return buffer_; }

 private:
  std::string buffer_;
  size_t scanned_ = 0;
};

}  // namespace crossover::router
