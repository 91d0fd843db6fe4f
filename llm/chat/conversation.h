// A conversation as the variables that chat templates read. Private to this room.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "llm/chat/jinja_value.h"
#include "llm/chat/message.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {

// InvalidArgument FIELD_INVALID for messages[index].
absl::Status BadMessage(size_t index, std::string_view field, std::string_view problem);

// The source of what message `index` says, in rendered text. What tools are called has one of its
// own, greater than any message's.
inline jinja::Source SourceOf(size_t index) { return static_cast<jinja::Source>(index) + 1; }

struct TemplateInput {
  const std::vector<ChatMessage>& messages;
  const std::vector<ChatTool>& tools;
  bool for_answer = false;
  absl::CivilDay date;
  const Tokenizer& tokenizer;
};

// messages, tools, add_generation_prompt, date_string, strftime_now, bos_token and eos_token, as
// transformers passes them. InvalidArgument FIELD_INVALID for roles that are none and texts that
// are no JSON.
absl::StatusOr<jinja::Dict> VariablesOf(const TemplateInput& input);

// strftime of a day, in the C locale: %d %e %b %B %m %y %Y %a %A %j %H %M %S %p %%; midnight is the
// time. TEMPLATE_FAILED for other letters.
absl::StatusOr<std::string> DateText(std::string_view format, absl::CivilDay day);

}  // namespace crossover::llm
