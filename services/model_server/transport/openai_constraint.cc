// What a chat request says about the form of its answer.
#include <utility>
#include <vector>

#include "common/status/status_macros.h"
#include "services/model_server/transport/openai_fields.h"

namespace crossover::inference {
namespace {

using Kind = llm::ConstraintSpec::Kind;

// The text of one member of the body with the members of its objects in their order, which is that
// in which the answer has them.
std::string OrderedMember(std::string_view body, const std::string& key) {
  const auto keep = [&](int depth, nlohmann::ordered_json::parse_event_t event,
                        nlohmann::ordered_json& value) {
    return event != nlohmann::ordered_json::parse_event_t::key || depth != 1 || value == key;
  };
  return nlohmann::ordered_json::parse(body, keep)[key].dump();
}

// Schemas are limited to 128 KiB, and so is what is parsed a second time.
absl::Status CheckSchemaSize(const ParsedJson& schema, const std::string& field) {
  constexpr size_t kMostBytes = 256 << 10;
  if (!schema.is_object() && !schema.is_boolean())
    return BodyFieldError(field, "must be a JSON Schema");
  if (schema.dump().size() > kMostBytes) return BodyFieldError(field, "is over 128 KiB");
  return absl::OkStatus();
}

absl::Status ReadResponseFormat(const ParsedJson& root, std::string_view body,
                                GenerateCommand& command) {
  const ParsedJson& format = Member(root, "response_format");
  if (format.is_null()) return absl::OkStatus();
  if (!format.is_object()) return BodyFieldError("response_format", "must be an object");
  const ParsedJson& type = Member(format, "type");
  if (type == "text") return absl::OkStatus();
  if (type == "json_object") {
    command.constraint = llm::ConstraintSpec{.kind = Kind::kJsonObject};
    command.constraint_field = "response_format";
    return absl::OkStatus();
  }
  if (type != "json_schema")
    return BodyFieldError("response_format.type", "must be text, json_object or json_schema");
  const std::string field = "response_format.json_schema.schema";
  const ParsedJson& holder = Member(format, "json_schema");
  const ParsedJson schema = holder.is_object() ? Member(holder, "schema") : ParsedJson();
  RETURN_IF_ERROR(CheckSchemaSize(schema, field));
  const auto ordered = nlohmann::ordered_json::parse(OrderedMember(body, "response_format"));
  command.constraint = llm::ConstraintSpec{.kind = Kind::kJsonSchema,
                                           .text = ordered["json_schema"]["schema"].dump()};
  command.constraint_field = field;
  return absl::OkStatus();
}

// Fields of vLLM.
absl::Status ReadGuided(const ParsedJson& root, std::string_view body, GenerateCommand& command) {
  for (const char* key : {"guided_json", "guided_regex", "guided_choice"}) {
    const ParsedJson& value = Member(root, key);
    if (value.is_null()) continue;
    if (command.constraint) {
      return BodyFieldError(
          key, "and " + command.constraint_field + " are two constraints; leave one of them out");
    }
    llm::ConstraintSpec spec;
    if (key == std::string("guided_json")) {
      // Clients send the schema as an object or as its text.
      if (!value.is_string()) RETURN_IF_ERROR(CheckSchemaSize(value, key));
      spec.kind = Kind::kJsonSchema;
      spec.text = value.is_string() ? value.get<std::string>() : OrderedMember(body, key);
    } else if (key == std::string("guided_regex")) {
      if (!value.is_string()) return BodyFieldError(key, "must be a text");
      spec.kind = Kind::kRegex;
      spec.text = value.get<std::string>();
    } else {
      if (!value.is_array() || value.empty())
        return BodyFieldError(key, "must be a list of at least one text");
      spec.kind = Kind::kChoice;
      for (const ParsedJson& text : value) {
        if (!text.is_string()) return BodyFieldError(key, "must hold texts");
        spec.choices.push_back(text.get<std::string>());
      }
    }
    command.constraint = std::move(spec);
    command.constraint_field = key;
  }
  return absl::OkStatus();
}

absl::Status ReadToolChoice(const ParsedJson& root, GenerateCommand& command) {
  const ParsedJson& choice = Member(root, "tool_choice");
  if (choice.is_null() || choice == "auto" || choice == "none") return absl::OkStatus();
  const std::vector<llm::ChatTool>& tools = std::get<ChatPrompt>(command.prompt).tools;
  if (choice == "required") {
    if (tools.empty()) return BodyFieldError("tool_choice", "is required and there are no tools");
    command.forced_tool = "";
    return absl::OkStatus();
  }
  const ParsedJson function = choice.is_object() ? Member(choice, "function") : ParsedJson();
  const ParsedJson name = function.is_object() ? Member(function, "name") : ParsedJson();
  if (!name.is_string())
    return BodyFieldError("tool_choice", "must be none, auto, required or name a function");
  for (const llm::ChatTool& tool : tools) {
    if (tool.name == name.get<std::string>()) command.forced_tool = tool.name;
  }
  if (!command.forced_tool)
    return BodyFieldError("tool_choice.function.name", "names none of the tools");
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadConstraint(const ParsedJson& root, std::string_view body,
                            GenerateCommand& command) {
  // Constraints of other servers' dialects, which clients send in place of response_format.
  for (const char* key : {"grammar", "guided_grammar", "json_schema", "structured_outputs"}) {
    if (!Member(root, key).is_null())
      return BodyFieldError(key,
                            "is not served; use response_format, guided_json, guided_regex or "
                            "guided_choice");
  }
  RETURN_IF_ERROR(ReadResponseFormat(root, body, command));
  RETURN_IF_ERROR(ReadGuided(root, body, command));
  return ReadToolChoice(root, command);
}

}  // namespace crossover::inference
