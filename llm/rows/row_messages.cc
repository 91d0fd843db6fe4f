#include "llm/rows/row_messages.h"

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::llm {

std::vector<ChatMessage> MessagesOf(const dataset::Row& row) {
  std::vector<ChatMessage> messages;
  std::set<std::string> calls;  // Ids. A result of a call that the row lacks is taken in order.
  for (const dataset::Message& message : row.messages) {
    ChatMessage out;
    out.role = message.role;
    out.content = dataset::TextOf(message);
    for (const dataset::ToolCall& call : message.tool_calls) {
      out.tool_calls.push_back({call.name, call.arguments, call.id});
      calls.insert(call.id);
    }
    if (calls.contains(message.tool_call_id)) out.tool_call_id = message.tool_call_id;
    out.weight = message.weight;
    messages.push_back(std::move(out));
  }
  return messages;
}

absl::StatusOr<std::vector<ChatTool>> ToolsOf(const dataset::Row& row) {
  std::vector<ChatTool> tools;
  if (row.tools.empty()) return tools;
  try {
    const nlohmann::json list = nlohmann::json::parse(row.tools);
    for (const nlohmann::json& tool : list) {
      const nlohmann::json& function = tool.contains("function") ? tool.at("function") : tool;
      tools.push_back({function.at("name").get<std::string>(), function.value("description", ""),
                       function.contains("parameters") ? function.at("parameters").dump() : ""});
    }
    return tools;
  } catch (const nlohmann::json::exception& error) {
    return Error(absl::StatusCode::kInvalidArgument, "ROW_INVALID",
                 absl::StrCat("tools: ", error.what()));
  }
}

}  // namespace crossover::llm
