#include "common/dataset/row_json.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/dataset/identity_json.h"
#include "common/dataset/json_fields.h"
#include "common/dataset/message_json.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::dataset {
namespace {

using internal::FieldError;
using internal::Find;
using internal::Join;
using internal::Json;

constexpr std::array<std::string_view, 15> kSharedKeys = {"tools",           "parallel_tool_calls",
                                                          "response_format", "weight",
                                                          "fields",          "origin",
                                                          "group",           "source",
                                                          "event_time",      "language",
                                                          "split",           "cluster",
                                                          "metadata",        "rejected",
                                                          "logprobs"};

// The forms a row may come in, by the key that tells them apart.
enum class Form { kMessages, kCompletion, kPreference, kTrlPreference };

absl::StatusOr<Form> FormOf(const Json& object) {
  if (Find(object, "messages") != nullptr) return Form::kMessages;
  if (Find(object, "input") != nullptr) return Form::kPreference;
  if (Find(object, "prompt") != nullptr) {
    if (Find(object, "chosen") != nullptr) return Form::kTrlPreference;
    return Form::kCompletion;
  }
  return FieldError("messages",
                    "is missing: a row is {\"messages\":[…]}, {\"prompt\",\"completion\"}, "
                    "{\"input\",\"preferred_output\",\"non_preferred_output\"} or "
                    "{\"prompt\",\"chosen\",\"rejected\"}");
}

std::vector<std::string_view> KeysOf(Form form) {
  switch (form) {
    case Form::kMessages:
      return {"messages"};
    case Form::kCompletion:
      return {"prompt", "completion"};
    case Form::kPreference:
      return {"input", "preferred_output", "preferred_completion", "non_preferred_output",
              "non_preferred_completion"};
    case Form::kTrlPreference:
      return {"prompt", "chosen"};
  }
  return {};
}

// A conversation given as plain text (one message of `role`) or as messages.
absl::StatusOr<std::vector<Message>> TextOrMessages(const Json& object, const char* key,
                                                    const char* role) {
  const Json* value = Find(object, key);
  if (value == nullptr) return FieldError(key, "is missing");
  if (value->is_string())
    return std::vector<Message>{{.role = role, .content = value->get<std::string>()}};
  return internal::MessagesFromJson(*value, key);
}

// The first of two names that is present: the published description and the published examples
// differ.
const char* EitherKey(const Json& object, const char* first, const char* second) {
  return Find(object, first) == nullptr && Find(object, second) != nullptr ? second : first;
}

void Append(std::vector<Message>& messages, std::vector<Message> more) {
  for (Message& message : more) messages.push_back(std::move(message));
}

absl::Status ParseAnswers(const Json& object, const char* chosen, const char* rejected, Row& row) {
  ASSIGN_OR_RETURN(std::vector<Message> preferred, TextOrMessages(object, chosen, "assistant"));
  Append(row.messages, std::move(preferred));
  ASSIGN_OR_RETURN(row.rejected, TextOrMessages(object, rejected, "assistant"));
  return absl::OkStatus();
}

absl::Status ParseCarriedArray(const Json& object, const char* key, std::string_view path,
                               std::string& out) {
  const Json* value = Find(object, key);
  if (value == nullptr || (value->is_array() && value->empty())) return absl::OkStatus();
  if (!value->is_array()) return FieldError(Join(path, key), "must be an array");
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& tool = (*value)[i];
    const std::string here = internal::At(Join(path, key), i);
    if (!tool.is_object()) return FieldError(here, "must be an object {type, function}");
    const Json* function = Find(tool, "function");
    if (function == nullptr || !function->is_object()) {
      return FieldError(Join(here, "function"), "must be an object {name, parameters}");
    }
    RETURN_IF_ERROR(internal::RequiredString(*function, "name", Join(here, "function")).status());
  }
  out = internal::Dump(*value);
  return absl::OkStatus();
}

absl::Status ParseCarriedObject(const Json& object, const char* key, std::string& out) {
  const Json* value = Find(object, key);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_object()) return FieldError(key, "must be an object");
  if (!value->empty()) out = internal::Dump(*value);
  return absl::OkStatus();
}

absl::Status ParsePreferenceInput(const Json& object, Row& row) {
  const Json* input = Find(object, "input");
  if (!input->is_object()) return FieldError("input", "must be an object {messages, tools}");
  const Json* messages = Find(*input, "messages");
  if (messages == nullptr) return FieldError("input.messages", "is missing");
  ASSIGN_OR_RETURN(row.messages, internal::MessagesFromJson(*messages, "input.messages"));
  return ParseCarriedArray(*input, "tools", "input", row.tools);
}

absl::Status ParseConversation(const Json& object, Form form, Row& row) {
  switch (form) {
    case Form::kMessages: {
      ASSIGN_OR_RETURN(row.messages, internal::MessagesFromJson(object["messages"], "messages"));
      if (Find(object, "rejected") == nullptr) return absl::OkStatus();
      ASSIGN_OR_RETURN(row.rejected, internal::MessagesFromJson(object["rejected"], "rejected"));
      return absl::OkStatus();
    }
    case Form::kCompletion: {
      ASSIGN_OR_RETURN(row.messages, TextOrMessages(object, "prompt", "user"));
      ASSIGN_OR_RETURN(std::vector<Message> answer,
                       TextOrMessages(object, "completion", "assistant"));
      Append(row.messages, std::move(answer));
      return absl::OkStatus();
    }
    case Form::kPreference:
      RETURN_IF_ERROR(ParsePreferenceInput(object, row));
      return ParseAnswers(object, EitherKey(object, "preferred_output", "preferred_completion"),
                          EitherKey(object, "non_preferred_output", "non_preferred_completion"),
                          row);
    case Form::kTrlPreference: {
      ASSIGN_OR_RETURN(row.messages, TextOrMessages(object, "prompt", "user"));
      return ParseAnswers(object, "chosen", "rejected", row);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ParseSplit(const Json& object) {
  ASSIGN_OR_RETURN(const std::string split, internal::OptionalString(object, "split", ""));
  if (split.empty() || split == kTrain || split == kValidation || split == kTest) return split;
  if (split == "valid" || split == "val" || split == "dev") return std::string(kValidation);
  return FieldError("split", absl::StrCat("is `", split, "`: must be train, validation or test"));
}

absl::Status ParseGroup(const Json& object, Group& group) {
  ASSIGN_OR_RETURN(group.source, internal::OptionalString(object, "source", ""));
  const Json* value = Find(object, "group");
  if (value == nullptr) return absl::OkStatus();
  if (value->is_string()) {
    group.source = value->get<std::string>();
    return absl::OkStatus();
  }
  if (!value->is_object())
    return FieldError("group", "must be a string or {conversation, user, template, source}");
  ASSIGN_OR_RETURN(group.conversation, internal::OptionalString(*value, "conversation", "group"));
  ASSIGN_OR_RETURN(group.user, internal::OptionalString(*value, "user", "group"));
  ASSIGN_OR_RETURN(group.template_id, internal::OptionalString(*value, "template", "group"));
  if (Find(*value, "source") != nullptr) {
    ASSIGN_OR_RETURN(group.source, internal::OptionalString(*value, "source", "group"));
  }
  return absl::OkStatus();
}

absl::Status ParseOrigin(const Json& object, Origin& origin) {
  const Json* value = Find(object, "origin");
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_object()) return FieldError("origin", "must be an object");
  ASSIGN_OR_RETURN(const std::string kind, internal::OptionalString(*value, "kind", "origin"));
  if (!kind.empty()) origin.kind = kind;
  ASSIGN_OR_RETURN(origin.file, internal::OptionalString(*value, "file", "origin"));
  ASSIGN_OR_RETURN(origin.parent_row, internal::OptionalString(*value, "parent_row", "origin"));
  ASSIGN_OR_RETURN(origin.prompt_version,
                   internal::OptionalString(*value, "prompt_version", "origin"));
  ASSIGN_OR_RETURN(origin.teacher, internal::OptionalString(*value, "teacher", "origin"));
  const Json* line = Find(*value, "line");
  if (line == nullptr) return absl::OkStatus();
  if (!line->is_number_integer()) return FieldError("origin.line", "must be an integer");
  origin.line = line->get<int64_t>();
  return absl::OkStatus();
}

absl::Status ParseShared(const Json& object, Row& row) {
  RETURN_IF_ERROR(ParseCarriedArray(object, "tools", "", row.tools));
  RETURN_IF_ERROR(ParseCarriedObject(object, "response_format", row.response_format));
  RETURN_IF_ERROR(ParseCarriedObject(object, "fields", row.fields));
  RETURN_IF_ERROR(ParseCarriedObject(object, "logprobs", row.logprobs));
  ASSIGN_OR_RETURN(const std::optional<double> weight, internal::OptionalWeight(object, ""));
  row.weight = weight.value_or(1);
  RETURN_IF_ERROR(ParseOrigin(object, row.origin));
  RETURN_IF_ERROR(ParseGroup(object, row.group));
  ASSIGN_OR_RETURN(row.event_time, internal::OptionalString(object, "event_time", ""));
  ASSIGN_OR_RETURN(row.language, internal::OptionalString(object, "language", ""));
  ASSIGN_OR_RETURN(row.split, ParseSplit(object));
  ASSIGN_OR_RETURN(row.cluster, internal::OptionalString(object, "cluster", ""));
  return absl::OkStatus();
}

std::vector<RowWarning> UnknownKeys(const Json& object, Form form) {
  const std::vector<std::string_view> own = KeysOf(form);
  std::vector<RowWarning> warnings;
  for (const auto& [key, value] : object.items()) {
    bool known = false;
    for (std::string_view name : own) known |= key == name;
    for (std::string_view name : kSharedKeys) known |= key == name;
    if (!known && !value.is_null()) warnings.push_back({key, "is not a key of a row: ignored"});
  }
  return warnings;
}

absl::StatusOr<ParsedRow> ParseUnchecked(const Json& object) {
  if (!object.is_object()) {
    return FieldError("row",
                      absl::StrCat("must be a JSON object, not ", ToAbsl(internal::Kind(object))));
  }
  ASSIGN_OR_RETURN(const Form form, FormOf(object));
  ParsedRow parsed;
  RETURN_IF_ERROR(ParseConversation(object, form, parsed.row));
  const std::string tools = parsed.row.tools;
  RETURN_IF_ERROR(ParseShared(object, parsed.row));
  if (parsed.row.tools.empty()) parsed.row.tools = tools;  // a preference row has them in `input`
  parsed.warnings = UnknownKeys(object, form);
  return parsed;
}

void PutText(Json& object, const char* key, const std::string& text) {
  if (!text.empty()) object[key] = text;
}

void PutJson(Json& object, const char* key, const std::string& json) {
  if (!json.empty()) object[key] = Json::parse(json, nullptr, false);
}

Json OriginToJson(const Origin& origin) {
  Json value = {{"kind", origin.kind}};
  PutText(value, "file", origin.file);
  if (origin.line != 0) value["line"] = origin.line;
  PutText(value, "parent_row", origin.parent_row);
  PutText(value, "prompt_version", origin.prompt_version);
  PutText(value, "teacher", origin.teacher);
  return value;
}

}  // namespace

namespace internal {

absl::StatusOr<Row> RowFromJson(const Json& object) {
  ASSIGN_OR_RETURN(ParsedRow parsed, ParseUnchecked(object));
  return std::move(parsed.row);
}

}  // namespace internal

absl::StatusOr<ParsedRow> ParseRow(std::string_view json) {
  ASSIGN_OR_RETURN(const Json object, internal::ParseJson(json, "row"));
  ASSIGN_OR_RETURN(ParsedRow parsed, ParseUnchecked(object));
  RETURN_IF_ERROR(internal::CheckConversation(parsed.row.messages, "messages"));
  if (!parsed.row.rejected.empty()) {
    RETURN_IF_ERROR(internal::CheckConversation(parsed.row.rejected, "rejected"));
  }
  return parsed;
}

absl::StatusOr<ParsedRow> ParseRowLine(std::string_view json, int64_t line) {
  absl::StatusOr<ParsedRow> parsed = ParseRow(json);
  if (parsed.ok()) return parsed;
  ErrorDetail detail = DetailOf(parsed.status());
  detail.metadata["line"] = absl::StrCat(line);
  return Error(parsed.status().code(), absl::StrCat("line ", line, ": ", parsed.status().message()),
               std::move(detail));
}

absl::StatusOr<Row> ParseInputRow(std::string_view json) {
  ASSIGN_OR_RETURN(const Json object, internal::ParseJson(json, "row"));
  ASSIGN_OR_RETURN(Row row, internal::RowFromJson(object));
  RETURN_IF_ERROR(internal::CheckToolTurns(row.messages, "messages"));
  return row;
}

std::string RowToJson(const Row& row) {
  Json value = {{"messages", internal::MessagesToJsonValue(row.messages, true)}};
  PutJson(value, "tools", row.tools);
  PutJson(value, "response_format", row.response_format);
  if (!row.rejected.empty()) value["rejected"] = internal::MessagesToJsonValue(row.rejected, true);
  PutJson(value, "logprobs", row.logprobs);
  if (row.weight != 1) value["weight"] = row.weight;
  PutJson(value, "fields", row.fields);
  if (row.origin != Origin()) value["origin"] = OriginToJson(row.origin);
  if (!row.group.empty()) value["group"] = internal::GroupToJson(row.group);
  PutText(value, "event_time", row.event_time);
  PutText(value, "language", row.language);
  PutText(value, "split", row.split);
  PutText(value, "cluster", row.cluster);
  return internal::Dump(value);
}

std::string MessagesToJson(const std::vector<Message>& messages) {
  return internal::Dump(internal::MessagesToJsonValue(messages, false));
}

absl::StatusOr<std::vector<Message>> ParseMessages(std::string_view json, std::string_view field) {
  ASSIGN_OR_RETURN(const Json value, internal::ParseJson(json, field));
  return internal::MessagesFromJson(value, field);
}

}  // namespace crossover::dataset
