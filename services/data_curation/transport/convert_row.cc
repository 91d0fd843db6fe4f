#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/data_curation/transport/convert.h"

namespace crossover::curation {
namespace {

using Json = nlohmann::json;
namespace type = ::crossover::type::v1;

void PutParts(const std::string& parts, type::ChatMessage& proto) {
  const Json list = Json::parse(parts, nullptr, false);
  if (!list.is_array()) return;
  for (const Json& part : list) {
    type::ContentPart& item = *proto.add_parts();
    item.set_type(part.value("type", "text"));
    item.set_text(part.value("text", ""));
  }
}

type::ChatMessage MessageToProto(const dataset::Message& message) {
  type::ChatMessage proto;
  proto.set_role(message.role);
  if (!message.parts.empty()) {
    PutParts(message.parts, proto);
  } else if (message.content.has_value()) {
    proto.set_content(*message.content);
  }
  for (const dataset::ToolCall& call : message.tool_calls) {
    type::ToolCall& item = *proto.add_tool_calls();
    item.set_id(call.id);
    item.set_type("function");
    item.set_name(call.name);
    item.set_arguments(call.arguments);
  }
  proto.set_tool_call_id(message.tool_call_id);
  proto.set_name(message.name);
  if (message.weight.has_value()) proto.set_weight(*message.weight);
  return proto;
}

void PutTools(const std::string& tools, v1::Row& proto) {
  const Json list = Json::parse(tools, nullptr, false);
  if (!list.is_array()) return;
  for (const Json& tool : list) {
    const Json function = tool.value("function", Json::object());
    type::Tool& item = *proto.add_tools();
    item.set_name(function.value("name", ""));
    item.set_description(function.value("description", ""));
    if (function.contains("parameters")) item.set_parameters(function["parameters"].dump());
    item.set_strict(function.contains("strict") && function["strict"] == true);
  }
}

void PutResponseFormat(const std::string& format, v1::Row& proto) {
  const Json value = Json::parse(format, nullptr, false);
  if (!value.is_object()) return;
  type::ResponseFormat& item = *proto.mutable_response_format();
  const std::string kind = value.value("type", "text");
  item.set_type(kind == "json_schema"   ? type::ResponseFormat::JSON_SCHEMA
                : kind == "json_object" ? type::ResponseFormat::JSON_OBJECT
                                        : type::ResponseFormat::TEXT);
  const Json schema = value.value("json_schema", Json::object());
  item.set_name(schema.value("name", ""));
  if (schema.contains("schema")) item.set_json_schema(schema["schema"].dump());
  item.set_strict(schema.contains("strict") && schema["strict"] == true);
}

void PutOrigin(const dataset::Origin& origin, v1::Origin& proto) {
  v1::Origin::Kind kind = v1::Origin::KIND_UNSPECIFIED;
  v1::Origin::Kind_Parse(origin.kind, &kind);
  proto.set_kind(kind);
  proto.set_file_digest(origin.file);
  proto.set_line(origin.line);
  proto.set_parent(origin.parent_row);
  proto.set_prompt_version(origin.prompt_version);
  proto.set_teacher(origin.teacher);
}

}  // namespace

absl::StatusOr<v1::Row> ToProto(const RowView& view, const std::string& parent) {
  const dataset::Row& row = view.row;
  v1::Row proto;
  proto.set_name(absl::StrCat(parent, "/rows/", view.row_digest));
  proto.set_row_digest(view.row_digest);
  proto.set_input_digest(view.input_digest);
  for (const dataset::Message& message : row.messages)
    *proto.add_messages() = MessageToProto(message);
  for (const dataset::Message& message : row.rejected)
    *proto.add_rejected() = MessageToProto(message);
  if (!row.tools.empty()) PutTools(row.tools, proto);
  if (!row.response_format.empty()) PutResponseFormat(row.response_format, proto);
  proto.set_weight(row.weight);
  if (!row.fields.empty()) {
    // What is no JSON object stays out; import has checked that it is one.
    (void)google::protobuf::util::JsonStringToMessage(row.fields, proto.mutable_fields()).ok();
  }
  PutOrigin(row.origin, *proto.mutable_origin());
  proto.mutable_group()->set_conversation(row.group.conversation);
  proto.mutable_group()->set_user(row.group.user);
  proto.mutable_group()->set_template_(row.group.template_id);
  proto.mutable_group()->set_source(row.group.source);
  if (!row.event_time.empty()) {
    google::protobuf::util::TimeUtil::FromString(row.event_time, proto.mutable_event_time());
  }
  proto.set_language(row.language);
  proto.set_split(row.split);
  proto.set_cluster(row.cluster);
  proto.set_drop_reason(view.drop_reason);
  for (const Flag& flag : view.flags) {
    v1::Flag& item = *proto.add_flags();
    item.set_stage(flag.stage);
    item.set_code(flag.code);
    item.set_score(flag.score);
    item.set_evidence(flag.evidence);
  }
  return proto;
}

}  // namespace crossover::curation
