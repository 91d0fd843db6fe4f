#include "services/shadow_router/domain/chat_request.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::router {
namespace {

namespace dom = simdjson::dom;
namespace ondemand = simdjson::ondemand;

absl::Status Invalid(const std::string& field, const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = {{field, message}}});
}

absl::Status Required(const std::string& field) {
  const std::string message = absl::StrCat("you must provide '", field, "'");
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "FIELD_REQUIRED", .metadata = {}, .violations = {{field, message}}});
}

std::string TextOfContent(dom::element content) {
  std::string_view text;
  if (content.get_string().get(text) == simdjson::SUCCESS) return std::string(text);
  std::string joined;
  dom::array parts;
  if (content.get_array().get(parts) != simdjson::SUCCESS) return joined;
  for (dom::element part : parts) {
    std::string_view piece;
    if (part["text"].get_string().get(piece) == simdjson::SUCCESS) joined.append(piece);
  }
  return joined;
}

absl::Status ReadMessages(dom::element root, ChatRequest& request) {
  dom::element value;
  if (root["messages"].get(value) != simdjson::SUCCESS) return Required("messages");
  dom::array messages;
  if (value.get_array().get(messages) != simdjson::SUCCESS) {
    return Invalid("messages", "'messages' must be a list of messages");
  }
  size_t index = 0;
  for (dom::element message : messages) {
    std::string_view role;
    if (message["role"].get_string().get(role) != simdjson::SUCCESS) {
      return Invalid(
          absl::StrCat("messages[", index, "].role"),
          absl::StrCat("messages[", index,
                       "].role must be one of developer, system, user, assistant, tool"));
    }
    if (role == "tool") request.has_tool_results = true;
    dom::element content;
    if (role == "user" && message["content"].get(content) == simdjson::SUCCESS) {
      request.last_user_message = TextOfContent(content);
    }
    ++index;
  }
  if (index == 0) return Invalid("messages", "'messages' must hold at least one message");
  return absl::OkStatus();
}

absl::Status ReadMetadata(dom::element root, ChatRequest& request) {
  dom::element value;
  if (root["metadata"].get(value) != simdjson::SUCCESS || value.is_null()) return absl::OkStatus();
  dom::object metadata;
  if (value.get_object().get(metadata) != simdjson::SUCCESS) {
    return Invalid("metadata", "'metadata' must be an object of strings");
  }
  for (auto [key, entry] : metadata) {
    std::string_view text;
    if (entry.get_string().get(text) != simdjson::SUCCESS) {
      return Invalid(absl::StrCat("metadata.", std::string(key)),
                     absl::StrCat("metadata.", std::string(key), " must be a string"));
    }
    if (key == "crossover_label") {
      request.label = std::string(text);
    } else if (key == "crossover_conversation") {
      request.conversation = std::string(text);
    } else if (key == "crossover_mirror") {
      request.no_mirror = text == "off";
    } else {
      request.metadata.emplace(key, text);
    }
  }
  return absl::OkStatus();
}

absl::Status ReadFields(dom::element root, ChatRequest& request) {
  std::string_view text;
  dom::element value;
  if (root["model"].get(value) != simdjson::SUCCESS) return Required("model");
  if (value.get_string().get(text) != simdjson::SUCCESS || text.empty()) {
    return Invalid("model", "'model' must be the name of a route");
  }
  request.model = std::string(text);
  if (root["stream"].get(value) == simdjson::SUCCESS && !value.is_null() &&
      value.get_bool().get(request.stream) != simdjson::SUCCESS) {
    return Invalid("stream", "'stream' must be true or false");
  }
  if (root["store"].get(value) == simdjson::SUCCESS && !value.is_null() &&
      value.get_bool().get(request.store) != simdjson::SUCCESS) {
    return Invalid("store", "'store' must be true or false");
  }
  bool usage = false;
  if (root["stream_options"]["include_usage"].get_bool().get(usage) == simdjson::SUCCESS)
    request.include_usage = usage;
  if (root["safety_identifier"].get_string().get(text) == simdjson::SUCCESS ||
      root["user"].get_string().get(text) == simdjson::SUCCESS) {
    request.user = std::string(text);
  }
  RETURN_IF_ERROR(ReadMetadata(root, request));
  return ReadMessages(root, request);
}

std::string_view TrimRight(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

// The value's bytes: containers are skipped over, scalars lose the white space behind them.
simdjson::error_code RawValue(ondemand::value value, std::string_view& raw) {
  ondemand::json_type type{};
  if (auto error = value.type().get(type)) return error;
  if (type == ondemand::json_type::object) {
    ondemand::object object;
    if (auto error = value.get_object().get(object)) return error;
    return object.raw_json().get(raw);
  }
  if (type == ondemand::json_type::array) {
    ondemand::array array;
    if (auto error = value.get_array().get(array)) return error;
    return array.raw_json().get(raw);
  }
  raw = TrimRight(value.raw_json_token());
  return simdjson::SUCCESS;
}

absl::Status FindMembers(const simdjson::padded_string& padded, ChatRequest& request) {
  thread_local ondemand::parser parser;
  ondemand::document document;
  ondemand::object object;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS ||
      document.get_object().get(object) != simdjson::SUCCESS) {
    return Invalid("", "the body is not a JSON object");
  }
  for (auto field_result : object) {
    ondemand::field field;
    if (std::move(field_result).get(field) != simdjson::SUCCESS)
      return Invalid("", "the body is not valid JSON");
    const char* key_begin = field.key().raw() - 1;
    std::string_view name, raw;
    if (field.unescaped_key().get(name) != simdjson::SUCCESS)
      return Invalid("", "the body is not valid JSON");
    std::string owned(name);
    if (RawValue(field.value(), raw) != simdjson::SUCCESS)
      return Invalid("", "the body is not valid JSON");
    if (request.Find(owned) != nullptr) {
      return Invalid(owned, absl::StrCat("'", owned, "' appears more than once"));
    }
    request.members.push_back(
        {.name = std::move(owned),
         .key_begin = static_cast<size_t>(key_begin - padded.data()),
         .begin = static_cast<size_t>(raw.data() - padded.data()),
         .end = static_cast<size_t>(raw.data() - padded.data() + raw.size())});
  }
  return absl::OkStatus();
}

bool IsNull(const ChatRequest& request, const ChatRequest::Member& member) {
  return std::string_view(request.body).substr(member.begin, member.end - member.begin) == "null";
}

}  // namespace

const ChatRequest::Member* ChatRequest::Find(std::string_view name) const {
  for (const Member& member : members) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

std::string_view ChatRequest::Raw(std::string_view name) const {
  const Member* member = Find(name);
  if (member == nullptr) return {};
  return std::string_view(body).substr(member->begin, member->end - member->begin);
}

absl::StatusOr<ChatRequest> ParseChatRequest(std::string body) {
  thread_local dom::parser parser;
  const simdjson::padded_string padded(body);
  dom::element root;
  // The whole document is validated here (UTF-8 too); the second pass below only measures where
  // members lie.
  if (const auto error = parser.parse(padded).get(root); error == simdjson::UTF8_ERROR) {
    return Invalid("", "the body is not valid UTF-8");
  } else if (error != simdjson::SUCCESS) {
    return Invalid("",
                   absl::StrCat("the body is not valid JSON: ", simdjson::error_message(error)));
  }
  if (!root.is_object()) return Invalid("", "the body must be a JSON object");
  ChatRequest request;
  RETURN_IF_ERROR(ReadFields(root, request));
  RETURN_IF_ERROR(FindMembers(padded, request));
  request.body = std::move(body);
  return request;
}

std::string JsonString(std::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string Apply(const ChatRequest& request, const Rewrite& rewrite) {
  const std::string& body = request.body;
  std::string out;
  out.reserve(body.size() + 256);
  const auto removed = [&](const std::string& name) {
    return std::find(rewrite.remove.begin(), rewrite.remove.end(), name) != rewrite.remove.end();
  };
  // Everything between the braces is written again member by member; bytes of keys and values that
  // stay are the client's.
  out.push_back('{');
  bool first = true;
  const auto separate = [&] {
    if (!first) out.push_back(',');
    first = false;
  };
  for (const ChatRequest::Member& member : request.members) {
    const auto set = rewrite.set.find(member.name);
    if (set == rewrite.set.end() && removed(member.name)) continue;
    const auto fill = rewrite.fill.find(member.name);
    separate();
    out.append(body, member.key_begin, member.begin - member.key_begin);
    if (set != rewrite.set.end()) {
      out.append(set->second);
    } else if (fill != rewrite.fill.end() && IsNull(request, member)) {
      out.append(fill->second);
    } else {
      out.append(body, member.begin, member.end - member.begin);
    }
  }
  const auto append = [&](const std::string& name, const std::string& value) {
    separate();
    absl::StrAppend(&out, JsonString(name), ":", value);
  };
  for (const auto& [name, value] : rewrite.set) {
    if (request.Find(name) == nullptr) append(name, value);
  }
  for (const auto& [name, value] : rewrite.fill) {
    if (request.Find(name) == nullptr && !rewrite.set.contains(name) && !removed(name))
      append(name, value);
  }
  out.push_back('}');
  return out;
}

}  // namespace crossover::router
