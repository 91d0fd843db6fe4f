#include "llm/chat/jinja_text.h"

#include <algorithm>
#include <utility>

namespace crossover::llm::jinja {

Text::Text(std::string text, Source source) : text_(std::move(text)) {
  if (!text_.empty()) runs_.push_back({text_.size(), source});
}

void Text::Append(std::string_view text, Source source) {
  if (text.empty()) return;
  text_.append(text);
  if (!runs_.empty() && runs_.back().source == source) {
    runs_.back().end = text_.size();
  } else {
    runs_.push_back({text_.size(), source});
  }
}

void Text::Append(const Text& other) {
  size_t begin = 0;
  for (const Run& run : other.runs_) {
    Append(other.view().substr(begin, run.end - begin), run.source);
    begin = run.end;
  }
}

Text Text::Cut(size_t begin, size_t end) const {
  Text out;
  end = std::min(end, text_.size());
  auto run = std::upper_bound(runs_.begin(), runs_.end(), begin,
                              [](size_t at, const Run& r) { return at < r.end; });
  for (; begin < end && run != runs_.end(); ++run) {
    const size_t stop = std::min(run->end, end);
    out.Append(view().substr(begin, stop - begin), run->source);
    begin = stop;
  }
  return out;
}

}  // namespace crossover::llm::jinja
