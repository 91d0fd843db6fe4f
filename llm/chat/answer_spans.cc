#include "llm/chat/answer_spans.h"

#include <algorithm>
#include <optional>

#include "common/status/status_macros.h"
#include "llm/chat/conversation.h"

namespace crossover::llm {
namespace {

// Rendered text and whose each byte is.
class Sources {
 public:
  explicit Sources(const jinja::Text& text) : text_(text.view()), source_(text.size()) {
    size_t begin = 0;
    for (const jinja::Text::Run& run : text.runs()) {
      std::fill(source_.begin() + static_cast<ptrdiff_t>(begin),
                source_.begin() + static_cast<ptrdiff_t>(run.end), run.source);
      begin = run.end;
    }
  }

  std::string_view text() const { return text_; }

  // The first and one past the last byte of a source in [begin, end); nullopt if there is none.
  std::optional<std::pair<size_t, size_t>> Extent(jinja::Source source, size_t begin,
                                                  size_t end) const {
    const auto first = source_.begin() + static_cast<ptrdiff_t>(begin);
    const auto last = source_.begin() + static_cast<ptrdiff_t>(end);
    const auto found = std::find(first, last, source);
    if (found == last) return std::nullopt;
    const auto back =
        std::find(std::make_reverse_iterator(last), std::make_reverse_iterator(found), source);
    return std::pair(static_cast<size_t>(found - source_.begin()),
                     static_cast<size_t>(back.base() - source_.begin()));
  }

  bool IsTemplates(size_t begin, size_t end) const {
    return std::all_of(source_.begin() + static_cast<ptrdiff_t>(begin),
                       source_.begin() + static_cast<ptrdiff_t>(end),
                       [](jinja::Source source) { return source == jinja::kTemplate; });
  }

  // The last occurrence of `mark` in [from, before) with nothing but the template's text up to
  // `before`.
  std::optional<size_t> MarkBefore(std::string_view mark, size_t from, size_t before) const {
    for (size_t at = text_.substr(0, before).rfind(mark);
         at != std::string_view::npos && at >= from; at = text_.substr(0, at).rfind(mark)) {
      if (IsTemplates(at, before)) return at;
      if (at == 0) break;
    }
    return std::nullopt;
  }

  // The first occurrence at or after `from` that is the template's.
  std::optional<size_t> MarkAfter(std::string_view mark, size_t from) const {
    for (size_t at = text_.find(mark, from); at != std::string_view::npos;
         at = text_.find(mark, at + 1)) {
      if (IsTemplates(at, at + mark.size())) return at;
    }
    return std::nullopt;
  }

 private:
  std::string_view text_;
  std::vector<jinja::Source> source_;
};

std::vector<size_t> AssistantsOf(const std::vector<ChatMessage>& messages) {
  std::vector<size_t> indices;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role == "assistant") indices.push_back(i);
  }
  return indices;
}

// Blocks belong to the assistant whose words are in them; one without words to the next in turn.
std::vector<AnswerSpan> MarkedAnswers(const jinja::Rendered& rendered, const Sources& sources,
                                      const std::vector<size_t>& assistants,
                                      const AnswerMarks& marks) {
  std::vector<AnswerSpan> spans;
  size_t next = 0;
  for (const auto& [begin, end] : rendered.generations) {
    if (begin == end || next == assistants.size()) continue;
    size_t owner = next;
    for (size_t i = next; i < assistants.size(); ++i) {
      if (!sources.Extent(SourceOf(assistants[i]), begin, end)) continue;
      owner = i;
      break;
    }
    const auto mark = sources.MarkAfter(marks.end_of_turn, begin);
    const bool follows = mark && *mark == end;
    const size_t stop = follows ? *mark + marks.end_of_turn.size() : end;
    spans.push_back({assistants[owner], begin, stop});
    next = owner + 1;
  }
  return spans;
}

}  // namespace

absl::StatusOr<std::vector<AnswerSpan>> FindAnswers(const jinja::Rendered& rendered,
                                                    const std::vector<ChatMessage>& messages,
                                                    const AnswerMarks& marks,
                                                    const PromptBefore& prompt_before) {
  const std::vector<size_t> assistants = AssistantsOf(messages);
  std::vector<AnswerSpan> spans;
  if (assistants.empty()) return spans;
  const Sources sources(rendered.text);
  if (!rendered.generations.empty()) return MarkedAnswers(rendered, sources, assistants, marks);
  size_t done = 0;
  for (const size_t message : assistants) {
    const auto words = sources.Extent(SourceOf(message), done, sources.text().size());
    std::optional<size_t> begin;
    if (words && !marks.header.empty()) {
      begin = sources.MarkBefore(marks.header, done, words->first);
      if (begin) *begin += marks.header.size();
    }
    if (!begin) {
      ASSIGN_OR_RETURN(const std::string prompt, prompt_before(message));
      const bool is_prefix = sources.text().starts_with(prompt) && prompt.size() >= done;
      if (is_prefix) begin = prompt.size();
      if (is_prefix && words && words->first < *begin) begin.reset();
    }
    if (!begin && words) begin = words->first;
    if (!begin) continue;
    const size_t after = words ? words->second : *begin;
    const auto mark = sources.MarkAfter(marks.end_of_turn, after);
    // The mark of another message's turn is not this one's.
    const bool own = mark && sources.IsTemplates(after, *mark);
    const size_t end = own ? *mark + marks.end_of_turn.size() : after;
    if (end > *begin) spans.push_back({message, *begin, end});
    done = end;
  }
  return spans;
}

}  // namespace crossover::llm
