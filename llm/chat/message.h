// A conversation as chat templates see it.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace crossover::llm {

struct ToolCall {
  std::string name;
  std::string arguments;  // JSON text.
  std::string id;         // What the message with its result names; "": results come in order.
};

struct ChatMessage {
  std::string role;  // "system", "developer" (rendered as system), "user", "assistant" or "tool".
  std::string content;
  std::vector<ToolCall> tool_calls;  // Of an assistant message.
  // Of an assistant message: its tokens' weight in the training loss. Absent: by TrainedTurns.
  std::optional<double> weight;
  // Of a tool message: the id of the call that it answers; "": the next one that has no answer.
  std::string tool_call_id;
};

// A function the model may call.
struct ChatTool {
  std::string name;
  std::string description;
  std::string parameters;  // JSON Schema as JSON text; "" for none.
};

}  // namespace crossover::llm
