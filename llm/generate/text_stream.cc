#include "llm/generate/text_stream.h"

#include <algorithm>
#include <utility>

namespace crossover::llm {

namespace {

// Length of the character that begins with this byte; 0 for a byte that cannot begin one.
size_t CharacterLength(unsigned char byte) {
  if (byte < 0x80) return 1;
  if (byte >= 0xc2 && byte < 0xe0) return 2;
  if (byte >= 0xe0 && byte < 0xf0) return 3;
  if (byte >= 0xf0 && byte < 0xf5) return 4;
  return 0;
}

bool IsContinuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// Bytes at the end of `text` that may be the beginning of a character.
size_t UnfinishedCharacter(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const unsigned char byte = text[text.size() - back];
    if (IsContinuation(byte)) continue;
    return CharacterLength(byte) > back ? back : 0;
  }
  return 0;
}

// Bytes at the end of `text` that may be the beginning of `stop`.
size_t BeginningOf(std::string_view text, std::string_view stop) {
  for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == stop.substr(0, n)) return n;
  }
  return 0;
}

// Replaces what is not UTF-8.
std::string Repaired(std::string_view bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size();) {
    const size_t length = CharacterLength(bytes[i]);
    size_t have = 1;
    while (have < length && i + have < bytes.size() && IsContinuation(bytes[i + have])) ++have;
    if (length != 0 && have == length) {
      text.append(bytes.substr(i, length));
      i += length;
    } else {
      text.append("\xef\xbf\xbd");
      i += have;
    }
  }
  return text;
}

}  // namespace

std::string TextStream::Release(size_t count) {
  std::string text = Repaired(std::string_view(pending_).substr(0, count));
  pending_.erase(0, count);
  return text;
}

std::string TextStream::Push(std::string_view bytes) {
  if (stopped_) return "";
  pending_.append(bytes);
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, pending_.find(stop));
  if (first != std::string::npos) {
    stopped_ = true;
    return Release(first);
  }
  size_t held = UnfinishedCharacter(pending_);
  for (const std::string& stop : stops_) held = std::max(held, BeginningOf(pending_, stop));
  // A held-back beginning of a stop string may follow an unfinished character; keep both.
  const size_t certain = pending_.size() - held;
  return Release(certain - UnfinishedCharacter(std::string_view(pending_).substr(0, certain)));
}

std::string TextStream::Flush() { return stopped_ ? "" : Release(pending_.size()); }

}  // namespace crossover::llm
