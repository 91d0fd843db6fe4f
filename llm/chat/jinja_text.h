// Text that remembers where each stretch of it came from.
//
// A chat template is trusted, what people and programs say in the conversation is not: only the
// former may become control tokens. Joining, cutting and changing text keeps the two apart.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace crossover::llm::jinja {

// 0 for the template's own text; otherwise whatever the caller gave a value.
using Source = int;
inline constexpr Source kTemplate = 0;

// A value type. Positions are bytes.
class Text {
 public:
  struct Run {
    size_t end;  // The run goes on to here from the end of the one before.
    Source source;
  };

  Text() = default;
  explicit Text(std::string text, Source source = kTemplate);

  std::string_view view() const { return text_; }
  size_t size() const { return text_.size(); }
  bool empty() const { return text_.empty(); }
  const std::vector<Run>& runs() const { return runs_; }

  void Append(const Text& other);
  void Append(std::string_view text, Source source);

  // Bytes [begin, end).
  Text Cut(size_t begin, size_t end) const;

  // Each run's text replaced by change(text).
  template <typename Change>
  Text Mapped(const Change& change) const {
    Text out;
    size_t begin = 0;
    for (const Run& run : runs_) {
      out.Append(change(view().substr(begin, run.end - begin)), run.source);
      begin = run.end;
    }
    return out;
  }

 private:
  std::string text_;
  std::vector<Run> runs_;  // None for empty text; neighbours differ in source.
};

}  // namespace crossover::llm::jinja
