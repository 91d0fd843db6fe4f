#include "common/http/sse.h"

#include <utility>

namespace crossover::http {

std::vector<SseEvent> SseParser::Feed(std::string_view bytes) {
  std::vector<SseEvent> out;
  size_t begin = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (skip_lf_) {
      skip_lf_ = false;
      if (c == '\n') {  // second half of CR LF
        begin = i + 1;
        continue;
      }
    }
    if (c != '\n' && c != '\r') continue;
    skip_lf_ = c == '\r';
    if (buffer_.empty()) {
      Line(bytes.substr(begin, i - begin), out);
    } else {
      buffer_.append(bytes.substr(begin, i - begin));
      Line(std::exchange(buffer_, {}), out);
    }
    begin = i + 1;
  }
  buffer_.append(bytes.substr(begin));
  return out;
}

void SseParser::Line(std::string_view line, std::vector<SseEvent>& out) {
  if (line.empty()) {
    if (has_data_) out.push_back(std::move(current_));
    current_ = {};
    has_data_ = false;
    return;
  }
  if (line.front() == ':') return;  // comment, often a keep-alive
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value =
      colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    if (has_data_) current_.data += '\n';
    current_.data += value;
    has_data_ = true;
  } else if (field == "event") {
    current_.event = value;
  } else if (field == "id") {
    current_.id = value;
  }
}

bool SseParser::Incomplete() const { return !buffer_.empty() || has_data_; }

std::string SseFrame(std::string_view data, std::string_view event) {
  std::string out;
  if (!event.empty()) {
    out += "event: ";
    out += event;
    out += '\n';
  }
  for (;;) {
    const size_t end = data.find('\n');
    out += "data: ";
    out += data.substr(0, end);
    out += '\n';
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + 1);
  }
  out += '\n';
  return out;
}

}  // namespace crossover::http
