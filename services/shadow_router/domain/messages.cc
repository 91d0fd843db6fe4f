#include "services/shadow_router/domain/messages.h"

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

std::string StringOrEmpty(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

dataset::ToolCall ToolCallFromJson(const Json& value) {
  const Json function = value.value("function", Json::object());
  return {.id = StringOrEmpty(value, "id"),
          .name = StringOrEmpty(function, "name"),
          .arguments = StringOrEmpty(function, "arguments")};
}

}  // namespace

absl::StatusOr<std::vector<dataset::Message>> MessagesFromJson(const Json& value) {
  if (!value.is_array()) return absl::InvalidArgumentError("'messages' must be a list of messages");
  std::vector<dataset::Message> messages;
  for (const Json& one : value) {
    if (!one.is_object() || StringOrEmpty(one, "role").empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("messages[", messages.size(), "] has no role"));
    }
    dataset::Message message{.role = StringOrEmpty(one, "role"),
                             .tool_call_id = StringOrEmpty(one, "tool_call_id"),
                             .name = StringOrEmpty(one, "name")};
    if (const auto content = one.find("content"); content != one.end() && content->is_string()) {
      message.content = content->get<std::string>();
    } else if (content != one.end() && content->is_array()) {
      message.parts = content->dump();
    }
    if (const auto calls = one.find("tool_calls"); calls != one.end() && calls->is_array()) {
      for (const Json& call : *calls) {
        if (call.is_object()) message.tool_calls.push_back(ToolCallFromJson(call));
      }
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

Json MessagesToJson(const std::vector<dataset::Message>& messages) {
  Json list = Json::array();
  for (const dataset::Message& message : messages) {
    Json one = {{"role", message.role}};
    if (!message.parts.empty()) {
      one["content"] = Json::parse(message.parts, nullptr, /*allow_exceptions=*/false);
    } else {
      one["content"] = message.content ? Json(*message.content) : Json();
    }
    if (!message.name.empty()) one["name"] = message.name;
    if (!message.tool_call_id.empty()) one["tool_call_id"] = message.tool_call_id;
    for (const dataset::ToolCall& call : message.tool_calls) {
      one["tool_calls"].push_back(
          {{"id", call.id},
           {"type", "function"},
           {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace crossover::router
