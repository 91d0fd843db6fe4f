// A conversation as chat templates see it.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace crossover::llm {

struct ToolCall {
  std::string name;
  std::string arguments;  // JSON text.
};

struct ChatMessage {
  std::string role;  // "system", "developer" (rendered as system), "user", "assistant" or "tool".
  std::string content;
  std::vector<ToolCall> tool_calls;  // Of an assistant message.
  // Of an assistant message: its tokens' weight in the training loss. Absent: by TrainedTurns.
  std::optional<double> weight;
};

// A function the model may call.
struct ChatTool {
  std::string name;
  std::string description;
  std::string parameters;  // JSON Schema as JSON text; "" for none.
};

}  // namespace crossover::llm
