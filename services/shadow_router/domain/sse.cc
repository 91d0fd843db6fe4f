#include "services/shadow_router/domain/sse.h"

#include <algorithm>

namespace crossover::router {
namespace {

struct Line {
  std::string_view text;
  size_t next;  // Offset behind the line's end.
  bool complete;
};

// The line that starts at `from`. A CR at the very end of the buffer may be half of a CRLF, so it
// does not end a line yet.
Line NextLine(std::string_view buffer, size_t from) {
  const size_t end = buffer.find_first_of("\r\n", from);
  if (end == std::string_view::npos) return {{}, from, false};
  size_t next = end + 1;
  if (buffer[end] == '\r') {
    if (next == buffer.size()) return {{}, from, false};
    if (buffer[next] == '\n') ++next;
  }
  return {buffer.substr(from, end - from), next, true};
}

void AppendData(std::string_view line, bool& first, std::string& data) {
  constexpr std::string_view kField = "data:";
  if (line.substr(0, kField.size()) != kField) return;
  line.remove_prefix(kField.size());
  if (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  if (!first) data.push_back('\n');
  data.append(line);
  first = false;
}

}  // namespace

void SseParser::Feed(std::string_view bytes, const OnEvent& on_event) {
  buffer_.append(bytes);
  const std::string_view view = buffer_;
  size_t event_start = 0;
  size_t line_start = scanned_;
  while (true) {
    const Line line = NextLine(view, line_start);
    if (!line.complete) break;
    line_start = line.next;
    if (!line.text.empty()) continue;
    // A blank line: the event is whole. Its lines are read again here, so that no half-parsed state
    // is kept between calls.
    const std::string_view raw = view.substr(event_start, line.next - event_start);
    std::string data;
    bool first = true;
    for (size_t at = 0; at < raw.size();) {
      Line part = NextLine(raw, at);
      if (!part.complete)
        part = {raw.substr(at, raw.find_first_of("\r\n", at) - at), raw.size(), true};
      AppendData(part.text, first, data);
      at = part.next;
    }
    on_event(data, raw);
    event_start = line.next;
  }
  buffer_.erase(0, event_start);
  scanned_ = line_start - event_start;
}

}  // namespace crossover::router
