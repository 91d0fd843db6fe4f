#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/prompt/from_proto.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/transport/convert.h"
#include "services/shadow_router/transport/convert_util.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

// A model is called by slug, alias or digest; a resource name's last segment is one of these.
ModelRef LocalModel(ModelRef::Kind kind, const type::v1::LocalModel& proto) {
  return {.kind = kind, .model = LastSegment(proto.model()), .digest = proto.digest()};
}

Json Parsed(const std::string& text) {
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

void SetResponseFormat(const std::string& text, type::v1::ResponseFormat* out) {
  const Json json = Parsed(text);
  if (!json.is_object()) return;
  const std::string type = json.value("type", "");
  if (type == "json_object") out->set_type(type::v1::ResponseFormat::JSON_OBJECT);
  if (type == "text") out->set_type(type::v1::ResponseFormat::TEXT);
  if (type != "json_schema") return;
  out->set_type(type::v1::ResponseFormat::JSON_SCHEMA);
  const Json schema = json.value("json_schema", Json::object());
  out->set_name(schema.value("name", ""));
  out->set_strict(schema.value("strict", false));
  if (schema.contains("schema")) out->set_json_schema(schema["schema"].dump());
}

}  // namespace

void SetSampling(const std::map<std::string, std::string>& fields, type::v1::Sampling* out) {
  for (const auto& [name, text] : fields) {
    const Json value = Parsed(text);
    if (name == "temperature" && value.is_number()) out->set_temperature(value);
    if (name == "top_p" && value.is_number()) out->set_top_p(value);
    if (name == "top_k" && value.is_number_integer()) out->set_top_k(value);
    if (name == "seed" && value.is_number_integer()) out->set_seed(value);
    if (name == "n" && value.is_number_integer()) out->set_n(value);
    if (name == "max_tokens" && value.is_number_integer()) out->set_max_tokens(value);
    if (name == "top_logprobs" && value.is_number_integer()) out->set_logprobs(value);
    if (name == "repetition_penalty" && value.is_number()) out->set_repetition_penalty(value);
    if (name == "response_format") SetResponseFormat(text, out->mutable_response_format());
    if (name == "stop" && value.is_array()) {
      for (const Json& stop : value) out->add_stop(stop.get<std::string>());
    }
    if (name == "logit_bias" && value.is_object()) {
      for (const auto& [token, bias] : value.items())
        (*out->mutable_logit_bias())[std::stoi(token)] = bias;
    }
  }
}

std::map<std::string, std::string> SamplingFields(const type::v1::Sampling& proto) {
  std::map<std::string, std::string> fields;
  if (proto.has_temperature()) fields["temperature"] = Json(proto.temperature()).dump();
  if (proto.has_top_p()) fields["top_p"] = Json(proto.top_p()).dump();
  if (proto.has_top_k()) fields["top_k"] = Json(proto.top_k()).dump();
  if (proto.has_seed()) fields["seed"] = Json(proto.seed()).dump();
  if (proto.has_n()) fields["n"] = Json(proto.n()).dump();
  if (proto.has_max_tokens()) fields["max_tokens"] = Json(proto.max_tokens()).dump();
  if (proto.has_logprobs()) {
    fields["logprobs"] = "true";
    fields["top_logprobs"] = Json(proto.logprobs()).dump();
  }
  if (proto.has_repetition_penalty())
    fields["repetition_penalty"] = Json(proto.repetition_penalty()).dump();
  if (proto.stop_size() > 0)
    fields["stop"] =
        Json(std::vector<std::string>(proto.stop().begin(), proto.stop().end())).dump();
  if (proto.logit_bias_size() > 0) {
    Json bias = Json::object();
    for (const auto& [token, value] : proto.logit_bias()) bias[absl::StrCat(token)] = value;
    fields["logit_bias"] = bias.dump();
  }
  if (const std::string format = prompt::ResponseFormatJson(proto.response_format());
      !format.empty()) {
    fields["response_format"] = format;
  }
  return fields;
}

absl::StatusOr<System> FromProto(const type::v1::System& proto, const std::string& path) {
  System system{.prompt_version = proto.prompt_version(), .display_name = proto.display_name()};
  switch (proto.model_case()) {
    case type::v1::System::kBaseModel:
      system.model = LocalModel(ModelRef::Kind::kBaseModel, proto.base_model());
      break;
    case type::v1::System::kAdapter:
      system.model = LocalModel(ModelRef::Kind::kAdapter, proto.adapter());
      break;
    case type::v1::System::kUpstream:
      system.model = {.model = proto.upstream().model(),
                      .upstream = proto.upstream().upstream(),
                      .revision = proto.upstream().revision()};
      break;
    default:
      return BadField(absl::StrCat(path, ".model"),
                      "must be a base_model, an adapter or an upstream");
  }
  system.sampling = SamplingFields(proto.sampling());
  if (proto.limits().has_timeout()) system.timeout = ToAbslDuration(proto.limits().timeout());
  return system;
}

type::v1::System ToProto(const System& system) {
  type::v1::System proto;
  proto.set_prompt_version(system.prompt_version);
  proto.set_display_name(system.display_name);
  proto.set_digest(SystemDigest(system));
  if (system.model.kind == ModelRef::Kind::kUpstream) {
    proto.mutable_upstream()->set_upstream(system.model.upstream);
    proto.mutable_upstream()->set_model(system.model.model);
    proto.mutable_upstream()->set_revision(system.model.revision);
  } else {
    type::v1::LocalModel* model = system.model.kind == ModelRef::Kind::kAdapter
                                      ? proto.mutable_adapter()
                                      : proto.mutable_base_model();
    model->set_model(system.model.model);
    model->set_digest(system.model.digest);
  }
  if (!system.sampling.empty()) SetSampling(system.sampling, proto.mutable_sampling());
  if (system.timeout > absl::ZeroDuration())
    SetDuration(system.timeout, proto.mutable_limits()->mutable_timeout());
  return proto;
}

absl::StatusOr<Route> FromProto(const pb::Route& proto) {
  Route route{.name = proto.name(), .task = proto.task(), .primary = proto.primary()};
  route.mode = proto.mode() == pb::Route::FINE_TUNE ? RouteMode::kFineTune
               : proto.mode() == pb::Route::HYBRID  ? RouteMode::kHybrid
                                                    : RouteMode::kPrompt;
  for (const auto& [name, system] : proto.variants()) {
    ASSIGN_OR_RETURN(route.variants[name], FromProto(system, absl::StrCat("variants[", name, "]")));
  }
  route.fallbacks.assign(proto.fallbacks().begin(), proto.fallbacks().end());
  route.sticky_by = proto.sticky_by() == pb::Route::CONVERSATION ? StickyBy::kConversation
                    : proto.sticky_by() == pb::Route::REQUEST    ? StickyBy::kRequest
                                                                 : StickyBy::kUser;
  route.salt = proto.salt();
  route.shadow_salt = proto.shadow_salt();
  route.labels.insert(proto.labels().begin(), proto.labels().end());
  route.etag = proto.etag();
  return route;
}

pb::Route ToProto(const Route& route) {
  pb::Route proto;
  proto.set_name(route.name);
  proto.set_task(route.task);
  proto.set_primary(route.primary);
  proto.set_mode(route.mode == RouteMode::kFineTune ? pb::Route::FINE_TUNE
                 : route.mode == RouteMode::kHybrid ? pb::Route::HYBRID
                                                    : pb::Route::PROMPT);
  for (const auto& [name, system] : route.variants)
    (*proto.mutable_variants())[name] = ToProto(system);
  for (const std::string& name : route.fallbacks) proto.add_fallbacks(name);
  proto.set_sticky_by(route.sticky_by == StickyBy::kConversation ? pb::Route::CONVERSATION
                      : route.sticky_by == StickyBy::kRequest    ? pb::Route::REQUEST
                                                                 : pb::Route::USER);
  proto.set_salt(route.salt);
  proto.set_shadow_salt(route.shadow_salt);
  proto.set_config_version(route.config_version);
  proto.set_experiment(route.experiment);
  proto.mutable_labels()->insert(route.labels.begin(), route.labels.end());
  proto.set_etag(route.etag);
  SetTime(route.create_time, proto.mutable_create_time());
  SetTime(route.update_time, proto.mutable_update_time());
  return proto;
}

}  // namespace crossover::router
