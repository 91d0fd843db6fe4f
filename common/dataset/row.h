// One example of a task: the type that import, curation, training, evaluation and prompts share.
//
// JSON values that Crossover only carries (tools, response_format, fields, content parts) are kept
// as compact JSON text, so that this header needs no JSON library. "" means absent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crossover::dataset {

// A call of a function tool. `arguments` is JSON text, as in the published contract.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;

  bool operator==(const ToolCall&) const = default;
};

// One turn. `content` is absent for null (an assistant that only calls tools) and when `parts` is
// set.
struct Message {
  std::string role;  // system | developer | user | assistant | tool
  std::optional<std::string> content;
  std::string parts;  // JSON array of text parts, when the content was given as parts
  std::vector<ToolCall> tool_calls;
  std::string tool_call_id;
  std::string name;
  std::optional<double> weight;  // assistant only; share of the loss, 0 = context only

  bool operator==(const Message&) const = default;
};

// Where a row came from. Never part of hashed bytes.
struct Origin {
  std::string kind = "IMPORTED";  // IMPORTED|PROMPT_EXAMPLE|INSTRUCTION|RECORDED|TEACHER|CORRECTED
  std::string file;               // digest
  int64_t line = 0;               // from 1; 0 = none
  std::string parent_row;         // row_digest
  std::string prompt_version;     // digest
  std::string teacher;            // digest of a System

  bool operator==(const Origin&) const = default;
};

// Rows that share any of these stay in one split.
struct Group {
  std::string conversation;
  std::string user;
  std::string template_id;  // "template" in JSON
  std::string source;

  bool empty() const {
    return conversation.empty() && user.empty() && template_id.empty() && source.empty();
  }
  bool operator==(const Group&) const = default;
};

inline constexpr std::string_view kTrain = "train";
inline constexpr std::string_view kValidation = "validation";
inline constexpr std::string_view kTest = "test";

struct Row {
  std::vector<Message> messages;
  std::string tools;              // JSON array
  std::string response_format;    // JSON object
  std::vector<Message> rejected;  // preference: the answer that was not preferred
  std::string logprobs;           // JSON object: a teacher's log-probabilities of the answer, as
                                  // chat completions return them ({"content":[…]})
  double weight = 1;
  std::string fields;  // JSON object: the output, parsed by the task
  Origin origin;
  Group group;
  std::string event_time;  // RFC 3339
  std::string language;    // BCP 47
  std::string split;       // train | validation | test | ""
  std::string cluster;     // rows with near-equal inputs share it

  bool operator==(const Row&) const = default;
};

// The text of a message: its content, or its text parts joined. "" for null content.
std::string TextOf(const Message& message);

// The messages before the answer: everything but the trailing assistant turn.
std::vector<Message> InputOf(const Row& row);

// The trailing assistant turn, or null if the row does not end with one. Borrowed from `row`.
const Message* AnswerOf(const Row& row);

// The text of the trailing assistant turn; "" if there is none.
std::string AnswerText(const Row& row);

// The text of the last user message; "" if there is none.
std::string LastUserText(const std::vector<Message>& messages);

// The loss weight of message `index`: its own, else 1 for assistant turns and 0 for the others.
double LossWeight(const Row& row, size_t index);

}  // namespace crossover::dataset
