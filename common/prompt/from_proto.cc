#include "common/prompt/from_proto.h"

#include <google/protobuf/util/json_util.h>

#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::prompt {
namespace {

using Json = nlohmann::json;
namespace pb = ::crossover::registry::v1;
namespace type = ::crossover::type::v1;

absl::Status BadProto(const char* reason, const std::string& field, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(field, " ", what),
               {.reason = reason, .violations = {{field, what}}});
}

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<std::string> ToJson(const google::protobuf::Message& proto, const char* field) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(proto, &json, options);
  if (status.ok()) return json;
  return BadProto("FIELD_INVALID", field, absl::StrCat("has no JSON form: ", status.ToString()));
}

absl::StatusOr<dataset::Row> ExampleToRow(const pb::PromptSpec::FewShot::Example& example,
                                          int index) {
  dataset::Row row;
  Json others = Json::object();
  const std::string* input = nullptr;
  for (const auto& [name, value] : example.input()) {
    if (name == kInput) {
      input = &value;
    } else {
      others[name] = value;
    }
  }
  if (input == nullptr) {
    return BadProto("PROMPT_INVALID", absl::StrCat("few_shot.rows[", index, "].input"),
                    "has no value for `input`, the text that the example answers");
  }
  row.messages = {{.role = "user", .content = *input},
                  {.role = "assistant", .content = example.output()}};
  if (!others.empty()) row.fields = Dump(others);
  return row;
}

absl::Status PutFewShot(const pb::PromptSpec::FewShot& proto, PromptSpec& spec) {
  for (int i = 0; i < proto.rows_size(); ++i) {
    ASSIGN_OR_RETURN(dataset::Row row, ExampleToRow(proto.rows(i), i));
    spec.few_shot.push_back(std::move(row));
  }
  if (proto.has_dynamic()) {
    ASSIGN_OR_RETURN(spec.dynamic_few_shot, ToJson(proto.dynamic(), "few_shot.dynamic"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> StepsOf(const pb::PromptSpec& proto) {
  Json steps = Json::array();
  for (const pb::PromptSpec::Step& step : proto.steps()) {
    ASSIGN_OR_RETURN(const std::string json, ToJson(step, "steps"));
    steps.push_back(Json::parse(json));
  }
  return steps.empty() ? "" : steps.dump();
}

}  // namespace

std::string ContentOf(const type::ChatMessage& message) {
  if (message.has_content()) return message.content();
  std::string text;
  for (const type::ContentPart& part : message.parts()) text += part.text();
  return text;
}

std::string ResponseFormatJson(const type::ResponseFormat& proto) {
  if (proto.type() == type::ResponseFormat::JSON_OBJECT) return R"({"type":"json_object"})";
  if (proto.type() != type::ResponseFormat::JSON_SCHEMA) return "";
  Json schema = {{"name", proto.name().empty() ? "answer" : proto.name()},
                 {"schema", Json::parse(proto.json_schema(), nullptr, false)},
                 {"strict", proto.strict()}};
  return Dump(Json{{"type", "json_schema"}, {"json_schema", std::move(schema)}});
}

Sampling FromProto(const type::Sampling& proto) {
  Sampling sampling;
  if (proto.has_temperature()) sampling.temperature = proto.temperature();
  if (proto.has_top_p()) sampling.top_p = proto.top_p();
  if (proto.has_top_k()) sampling.top_k = proto.top_k();
  if (proto.has_max_tokens()) sampling.max_tokens = proto.max_tokens();
  if (proto.has_seed()) sampling.seed = proto.seed();
  sampling.stop.assign(proto.stop().begin(), proto.stop().end());
  return sampling;
}

absl::StatusOr<PromptSpec> FromProto(const pb::PromptSpec& proto) {
  PromptSpec spec;
  for (const type::ChatMessage& message : proto.messages()) {
    spec.messages.push_back({message.role(), ContentOf(message)});
  }
  spec.variables = proto.variables_schema();
  RETURN_IF_ERROR(PutFewShot(proto.few_shot(), spec));
  if (proto.strategy() == pb::PromptSpec::STEP_BY_STEP) spec.strategy = Strategy::kStepByStep;
  if (proto.strategy() == pb::PromptSpec::DECOMPOSED) spec.strategy = Strategy::kDecomposed;
  ASSIGN_OR_RETURN(spec.steps, StepsOf(proto));
  if (proto.has_retrieval()) {
    ASSIGN_OR_RETURN(spec.retrieval, ToJson(proto.retrieval(), "retrieval"));
  }
  const std::string& schema = proto.response_format().json_schema();
  if (!schema.empty() && !Json::accept(schema)) {
    return BadProto("FIELD_INVALID", "spec.response_format.json_schema", "is not valid JSON");
  }
  spec.response_format = ResponseFormatJson(proto.response_format());
  spec.sampling = FromProto(proto.sampling());
  RETURN_IF_ERROR(Validate(spec));
  return spec;
}

}  // namespace crossover::prompt
