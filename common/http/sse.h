// Server-sent events: taking a byte stream apart and putting one together.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crossover::http {

// One event. `data` lines are joined by '\n'.
struct SseEvent {
  std::string event;  // empty = "message"
  std::string data;
  std::string id;
};

// Frames may be split anywhere, also inside a UTF-8 character or between CR and LF. Not
// thread-safe. Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
class SseParser {
 public:
  // Events completed by these bytes.
  std::vector<SseEvent> Feed(std::string_view bytes);
  // True if bytes of an unfinished event are buffered: the stream was cut.
  bool Incomplete() const;

 private:
  void Line(std::string_view line, std::vector<SseEvent>& out);

  std::string buffer_;
  SseEvent current_;
  bool has_data_ = false;
  bool skip_lf_ = false;
};

// "data: …\n\n", one data line per line of `data`.
std::string SseFrame(std::string_view data, std::string_view event = {});

}  // namespace crossover::http
