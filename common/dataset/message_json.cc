#include "common/dataset/message_json.h"

#include <array>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"

namespace crossover::dataset::internal {
namespace {

constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant",
                                                    "tool"};
constexpr std::array<std::string_view, 6> kMessageKeys = {"role",         "content", "tool_calls",
                                                          "tool_call_id", "name",    "weight"};

template <typename Array>
bool Contains(const Array& array, std::string_view value) {
  for (std::string_view item : array) {
    if (item == value) return true;
  }
  return false;
}

absl::Status CheckKeys(const Json& object, std::string_view path) {
  for (const auto& [key, value] : object.items()) {
    if (Contains(kMessageKeys, key) || value.is_null()) continue;
    if (key == "function_call") {
      return FieldError(Join(path, key), "is the old form of a tool call: use tool_calls");
    }
    // Answers of other servers carry these; they say nothing when empty.
    const bool is_empty = (value.is_array() || value.is_string()) && value.empty();
    if (is_empty) continue;
    return FieldError(
        Join(path, key),
        "is not known: a message has role, content, tool_calls, tool_call_id, name, weight");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ParseRole(const Json& object, std::string_view path) {
  ASSIGN_OR_RETURN(std::string role, RequiredString(object, "role", path));
  if (Contains(kRoles, role)) return role;
  const std::string field = Join(path, "role");
  if (role == "function") return FieldError(field, "is the old name `function`: use `tool`");
  return FieldError(
      field, absl::StrCat("is `", role, "`: must be system, developer, user, assistant or tool"));
}

absl::Status CheckParts(const Json& parts, std::string_view path) {
  if (parts.empty()) return FieldError(path, "is an empty array: give text");
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string part_path = At(path, i);
    const Json& part = parts[i];
    if (!part.is_object()) return FieldError(part_path, "must be an object {type, text}");
    ASSIGN_OR_RETURN(const std::string type, RequiredString(part, "type", part_path));
    if (type != "text") {
      return FieldError(Join(part_path, "type"),
                        absl::StrCat("is `", type, "`: only text parts can be trained on"));
    }
    RETURN_IF_ERROR(RequiredString(part, "text", part_path).status());
  }
  return absl::OkStatus();
}

absl::Status ParseContent(const Json& object, std::string_view path, Message& message) {
  const Json* content = Find(object, "content");
  const std::string field = Join(path, "content");
  if (content == nullptr) {
    if (message.role == "assistant" && !message.tool_calls.empty()) return absl::OkStatus();
    return FieldError(field,
                      "is missing: only an assistant message with tool_calls may leave it out");
  }
  if (content->is_string()) {
    message.content = content->get<std::string>();
    return absl::OkStatus();
  }
  if (!content->is_array()) {
    return FieldError(
        field, absl::StrCat("must be a string or an array of parts, not ", ToAbsl(Kind(*content))));
  }
  RETURN_IF_ERROR(CheckParts(*content, field));
  message.parts = Dump(*content);
  return absl::OkStatus();
}

absl::StatusOr<ToolCall> ParseToolCall(const Json& value, std::string_view path) {
  if (!value.is_object()) return FieldError(path, "must be an object {id, type, function}");
  ToolCall call;
  ASSIGN_OR_RETURN(call.id, RequiredString(value, "id", path));
  if (call.id.empty()) return FieldError(Join(path, "id"), "must not be empty");
  ASSIGN_OR_RETURN(const std::string type, OptionalString(value, "type", path));
  if (!type.empty() && type != "function") {
    return FieldError(Join(path, "type"), absl::StrCat("is `", type, "`: must be `function`"));
  }
  const Json* function = Find(value, "function");
  const std::string function_path = Join(path, "function");
  if (function == nullptr || !function->is_object()) {
    return FieldError(function_path, "must be an object {name, arguments}");
  }
  ASSIGN_OR_RETURN(call.name, RequiredString(*function, "name", function_path));
  if (call.name.empty()) return FieldError(Join(function_path, "name"), "must not be empty");
  const std::string arguments_path = Join(function_path, "arguments");
  const Json* arguments = Find(*function, "arguments");
  if (arguments != nullptr && !arguments->is_string()) {
    return FieldError(arguments_path, absl::StrCat("must be a string that holds JSON, not ",
                                                   ToAbsl(Kind(*arguments))));
  }
  ASSIGN_OR_RETURN(call.arguments, RequiredString(*function, "arguments", function_path));
  if (!ParseJson(call.arguments, arguments_path).ok())
    return FieldError(arguments_path, "is not valid JSON");
  return call;
}

absl::Status ParseToolCalls(const Json& object, std::string_view path, Message& message) {
  const Json* calls = Find(object, "tool_calls");
  if (calls == nullptr) return absl::OkStatus();
  const std::string field = Join(path, "tool_calls");
  if (!calls->is_array())
    return FieldError(field, absl::StrCat("must be an array, not ", ToAbsl(Kind(*calls))));
  if (calls->empty()) return absl::OkStatus();
  if (message.role != "assistant") {
    return FieldError(field, absl::StrCat("is on a `", message.role,
                                          "` message: only assistant messages call tools"));
  }
  for (size_t i = 0; i < calls->size(); ++i) {
    ASSIGN_OR_RETURN(ToolCall call, ParseToolCall((*calls)[i], At(field, i)));
    message.tool_calls.push_back(std::move(call));
  }
  return absl::OkStatus();
}

absl::StatusOr<Message> MessageFromJson(const Json& value, std::string_view path) {
  if (!value.is_object()) {
    return FieldError(path,
                      absl::StrCat("must be an object {role, content}, not ", ToAbsl(Kind(value))));
  }
  Message message;
  ASSIGN_OR_RETURN(message.role, ParseRole(value, path));
  RETURN_IF_ERROR(CheckKeys(value, path));
  RETURN_IF_ERROR(ParseToolCalls(value, path, message));
  RETURN_IF_ERROR(ParseContent(value, path, message));
  ASSIGN_OR_RETURN(message.tool_call_id, OptionalString(value, "tool_call_id", path));
  ASSIGN_OR_RETURN(message.name, OptionalString(value, "name", path));
  ASSIGN_OR_RETURN(message.weight, OptionalWeight(value, path));
  if (message.weight.has_value() && message.role != "assistant") {
    return FieldError(Join(path, "weight"), "is allowed on assistant messages only");
  }
  if (message.role == "tool" && message.tool_call_id.empty()) {
    return FieldError(Join(path, "tool_call_id"),
                      "is missing: a tool message names the call it answers");
  }
  if (message.role != "tool" && !message.tool_call_id.empty()) {
    return FieldError(Join(path, "tool_call_id"), "is allowed on tool messages only");
  }
  return message;
}

Json MessageToJsonValue(const Message& message, bool with_weights) {
  Json value = {{"role", message.role}};
  if (!message.parts.empty()) {
    value["content"] = Json::parse(message.parts, nullptr, false);
  } else if (message.content.has_value()) {
    value["content"] = *message.content;
  }
  for (const ToolCall& call : message.tool_calls) {
    value["tool_calls"].push_back(
        {{"id", call.id},
         {"type", "function"},
         {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  if (!message.tool_call_id.empty()) value["tool_call_id"] = message.tool_call_id;
  if (!message.name.empty()) value["name"] = message.name;
  if (with_weights && message.weight.has_value()) value["weight"] = *message.weight;
  return value;
}

}  // namespace

absl::StatusOr<std::vector<Message>> MessagesFromJson(const Json& value, std::string_view path) {
  if (!value.is_array())
    return FieldError(path, absl::StrCat("must be an array, not ", ToAbsl(Kind(value))));
  if (value.empty()) return FieldError(path, "is empty: at least one message is needed");
  std::vector<Message> messages;
  messages.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    ASSIGN_OR_RETURN(Message message, MessageFromJson(value[i], At(path, i)));
    messages.push_back(std::move(message));
  }
  return messages;
}

Json MessagesToJsonValue(const std::vector<Message>& messages, bool with_weights) {
  Json array = Json::array();
  for (const Message& message : messages)
    array.push_back(MessageToJsonValue(message, with_weights));
  return array;
}

absl::Status CheckToolTurns(const std::vector<Message>& messages, std::string_view path) {
  std::set<std::string> open;  // calls that wait for their answer
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    const std::string here = At(path, i);
    if (message.role == "tool") {
      if (open.erase(message.tool_call_id) == 0) {
        return FieldError(
            Join(here, "tool_call_id"),
            absl::StrCat("is `", message.tool_call_id, "`: no tool call before it has this id"));
      }
      continue;
    }
    if (!open.empty()) {
      return FieldError(here, absl::StrCat("comes before a tool message has answered tool call `",
                                           *open.begin(), "`"));
    }
    for (size_t c = 0; c < message.tool_calls.size(); ++c) {
      if (!open.insert(message.tool_calls[c].id).second) {
        return FieldError(Join(At(Join(here, "tool_calls"), c), "id"), "is used twice");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckConversation(const std::vector<Message>& messages, std::string_view path) {
  RETURN_IF_ERROR(CheckToolTurns(messages, path));
  const std::string last = At(path, messages.size() - 1);
  if (messages.back().role != "assistant") {
    return FieldError(Join(last, "role"),
                      absl::StrCat("is `", messages.back().role,
                                   "`: the last message must be the assistant's answer"));
  }
  for (const Message& message : messages) {
    if (message.role == "assistant" && message.weight.value_or(1) > 0) return absl::OkStatus();
  }
  return FieldError(path, "has weight 0 on every assistant message: nothing would be learnt");
}

}  // namespace crossover::dataset::internal
