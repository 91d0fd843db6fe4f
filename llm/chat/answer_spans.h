// Finds what the assistant says in a rendered conversation. Private to this room.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/chat/jinja.h"
#include "llm/chat/message.h"

namespace crossover::llm {

// What a template puts around an answer, found out by rendering a small conversation.
struct AnswerMarks {
  std::string header;       // What add_generation_prompt adds; "" if it adds nothing.
  std::string end_of_turn;  // From the end of the content to the control token that ends the turn.
};

// Bytes [begin, end) are the answer of message `message`: content and end of turn.
struct AnswerSpan {
  size_t message = 0;
  size_t begin = 0;
  size_t end = 0;
};

// The text before message `index`, with the header of an answer.
using PromptBefore = std::function<absl::StatusOr<std::string>(size_t index)>;

// In order, without overlap. A template's own {% generation %} decides; otherwise an answer runs
// from the header before its content, or where the prompt for it ends, to the mark after it. What
// messages say is never taken for a mark. An answer that leaves no trace has no span.
absl::StatusOr<std::vector<AnswerSpan>> FindAnswers(const jinja::Rendered& rendered,
                                                    const std::vector<ChatMessage>& messages,
                                                    const AnswerMarks& marks,
                                                    const PromptBefore& prompt_before);

}  // namespace crossover::llm
