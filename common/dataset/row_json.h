// Row to and from JSON. Formats accepted: Crossover's own row, the published chat form
// {"messages":[…],"tools":[…]}, prompt/completion, and preference rows (`input, preferred_output,
// non_preferred_output`, and TRL's `prompt, chosen, rejected`).
//
// Errors are InvalidArgument ROW_INVALID; their message starts with the path of the field
// (`messages[2].tool_calls[0].function.arguments is not valid JSON`) and their detail has it as a
// field violation. With a line number the message is `line 536: messages[2]…` and metadata has
// `line`. All functions are thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/dataset/row.h"

namespace crossover::dataset {

// Something odd that does not make a row unusable, such as a key that nothing reads.
struct RowWarning {
  std::string field;
  std::string description;
};

struct ParsedRow {
  Row row;
  std::vector<RowWarning> warnings;
};

// Parses one line of JSONL and checks it: roles, turns, tool calls and their answers, weights, an
// assistant turn at the end.
absl::StatusOr<ParsedRow> ParseRow(std::string_view json);

// The same, with `line N: ` (from 1) before the message of an error.
absl::StatusOr<ParsedRow> ParseRowLine(std::string_view json, int64_t line);

// Parses Crossover's own form without demanding an assistant turn at the end; for inputs that are
// yet to be answered.
absl::StatusOr<Row> ParseInputRow(std::string_view json);

// The full row in Crossover's own form, keys sorted, absent keys omitted. ParseRow(RowToJson(r)) ==
// r. Text that is not valid UTF-8 is written with replacement characters.
std::string RowToJson(const Row& row);

// A JSON array of messages, as in a row or a chat request: {role, content, tool_calls, …}. Weights
// are left out.
std::string MessagesToJson(const std::vector<Message>& messages);

// Parses a JSON array of messages. `field` is the path that errors name.
absl::StatusOr<std::vector<Message>> ParseMessages(std::string_view json, std::string_view field);

}  // namespace crossover::dataset
