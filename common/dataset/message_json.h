// Private to common/dataset: messages to and from JSON values, and the checks a conversation must
// pass.
#pragma once

#include <string_view>
#include <vector>

#include "common/dataset/json_fields.h"
#include "common/dataset/row.h"

namespace crossover::dataset::internal {

// Parses an array of messages at `path`. Warnings are not raised: keys that nothing reads are
// ignored when null and refused otherwise, because a misspelt `tool_calls` would silently change
// what is learnt.
absl::StatusOr<std::vector<Message>> MessagesFromJson(const Json& value, std::string_view path);

// With weights only if `with_weights`: hashed forms have none.
Json MessagesToJsonValue(const std::vector<Message>& messages, bool with_weights);

// Every tool call is answered by a tool message before the next turn, and every tool message
// answers a call.
absl::Status CheckToolTurns(const std::vector<Message>& messages, std::string_view path);

// CheckToolTurns, and the conversation ends with an assistant turn that carries loss.
absl::Status CheckConversation(const std::vector<Message>& messages, std::string_view path);

}  // namespace crossover::dataset::internal
