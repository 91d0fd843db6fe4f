#include "services/registry/transport/prompt_convert.h"

#include <google/protobuf/util/time_util.h>

#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "services/registry/transport/document.h"
#include "services/registry/transport/names.h"

namespace crossover::registry {
namespace {

using Json = nlohmann::json;
namespace type = ::crossover::type::v1;

std::string ContentOf(const type::ChatMessage& message) {
  if (message.has_content()) return message.content();
  std::string text;
  for (const type::ContentPart& part : message.parts()) text += part.text();
  return text;
}

// An example as a row: its `input` is the user's turn, the other variables go along in `fields`.
dataset::Row ExampleToRow(const v1::PromptSpec::FewShot::Example& example) {
  dataset::Row row;
  Json others = Json::object();
  std::string input;
  for (const auto& [name, value] : example.input()) {
    if (name == prompt::kInput) {
      input = value;
    } else {
      others[name] = value;
    }
  }
  row.messages = {{.role = "user", .content = input},
                  {.role = "assistant", .content = example.output()}};
  if (!others.empty()) row.fields = others.dump(-1, ' ', false, Json::error_handler_t::replace);
  return row;
}

std::string ResponseFormatOf(const type::ResponseFormat& format) {
  if (format.type() == type::ResponseFormat::JSON_OBJECT) return R"({"type":"json_object"})";
  if (format.type() != type::ResponseFormat::JSON_SCHEMA) return "";
  Json schema = {{"name", format.name().empty() ? "answer" : format.name()},
                 {"schema", Json::parse(format.json_schema(), nullptr, false)},
                 {"strict", format.strict()}};
  return Json{{"type", "json_schema"}, {"json_schema", std::move(schema)}}.dump(
      -1, ' ', false, Json::error_handler_t::replace);
}

prompt::Sampling SamplingOf(const type::Sampling& proto) {
  prompt::Sampling sampling;
  if (proto.has_temperature()) sampling.temperature = proto.temperature();
  if (proto.has_top_p()) sampling.top_p = proto.top_p();
  if (proto.has_top_k()) sampling.top_k = proto.top_k();
  if (proto.has_max_tokens()) sampling.max_tokens = proto.max_tokens();
  if (proto.has_seed()) sampling.seed = proto.seed();
  sampling.stop.assign(proto.stop().begin(), proto.stop().end());
  return sampling;
}

absl::StatusOr<std::string> StepsOf(const v1::PromptSpec& proto) {
  Json steps = Json::array();
  for (const v1::PromptSpec::Step& step : proto.steps()) {
    ASSIGN_OR_RETURN(const std::string json, ToJson(step));
    steps.push_back(Json::parse(json));
  }
  return steps.empty() ? "" : steps.dump();
}

google::protobuf::Timestamp Stamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}

}  // namespace

absl::StatusOr<prompt::PromptSpec> FromProto(const v1::PromptSpec& proto) {
  prompt::PromptSpec spec;
  for (const type::ChatMessage& message : proto.messages()) {
    spec.messages.push_back({message.role(), ContentOf(message)});
  }
  spec.variables = proto.variables_schema();
  for (const auto& example : proto.few_shot().rows())
    spec.few_shot.push_back(ExampleToRow(example));
  if (proto.few_shot().has_dynamic()) {
    ASSIGN_OR_RETURN(spec.dynamic_few_shot, ToJson(proto.few_shot().dynamic()));
  }
  if (proto.strategy() == v1::PromptSpec::STEP_BY_STEP)
    spec.strategy = prompt::Strategy::kStepByStep;
  if (proto.strategy() == v1::PromptSpec::DECOMPOSED) spec.strategy = prompt::Strategy::kDecomposed;
  ASSIGN_OR_RETURN(spec.steps, StepsOf(proto));
  if (proto.has_retrieval()) {
    ASSIGN_OR_RETURN(spec.retrieval, ToJson(proto.retrieval()));
  }
  if (!proto.response_format().json_schema().empty() &&
      !Json::accept(proto.response_format().json_schema())) {
    return FieldInvalid("spec.response_format.json_schema", "is not valid JSON");
  }
  spec.response_format = ResponseFormatOf(proto.response_format());
  spec.sampling = SamplingOf(proto.sampling());
  RETURN_IF_ERROR(prompt::Validate(spec));
  return spec;
}

absl::StatusOr<v1::PromptVersion> ToProto(const PromptVersion& version) {
  v1::PromptVersion proto;
  proto.set_name(VersionNameOf(version.prompt, version.digest));
  *proto.mutable_create_time() = Stamp(version.create_time);
  *proto.mutable_update_time() = Stamp(version.update_time);
  proto.mutable_labels()->insert(version.labels.begin(), version.labels.end());
  proto.set_digest(version.digest);
  RETURN_IF_ERROR(FromJson(version.spec, *proto.mutable_spec()));
  if (!version.parent.empty()) proto.set_parent(VersionNameOf(version.prompt, version.parent));
  proto.set_note(version.note);
  proto.set_evaluation(version.evaluation);
  v1::PromptVersion::State state = v1::PromptVersion::STATE_UNSPECIFIED;
  v1::PromptVersion::State_Parse(std::string(Name(version.state)), &state);
  proto.set_state(state);
  if (version.activate_time.has_value())
    *proto.mutable_activate_time() = Stamp(*version.activate_time);
  proto.set_override_reason(version.override_reason);
  return proto;
}

type::ChatMessage ToProto(const dataset::Message& message) {
  type::ChatMessage proto;
  proto.set_role(message.role);
  if (message.content.has_value() || !message.parts.empty())
    proto.set_content(dataset::TextOf(message));
  for (const dataset::ToolCall& call : message.tool_calls) {
    type::ToolCall& item = *proto.add_tool_calls();
    item.set_id(call.id);
    item.set_type("function");
    item.set_name(call.name);
    item.set_arguments(call.arguments);
  }
  proto.set_tool_call_id(message.tool_call_id);
  proto.set_name(message.name);
  return proto;
}

dataset::Message FromProto(const type::ChatMessage& proto) {
  dataset::Message message{.role = proto.role()};
  if (proto.has_content() || proto.parts_size() > 0) message.content = ContentOf(proto);
  for (const type::ToolCall& call : proto.tool_calls()) {
    message.tool_calls.push_back({call.id(), call.name(), call.arguments()});
  }
  message.tool_call_id = proto.tool_call_id();
  message.name = proto.name();
  return message;
}

}  // namespace crossover::registry
