#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/dataset/row_json.h"
#include "common/json/canonical.h"
#include "common/prompt/prompt_spec.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::prompt {
namespace {

using Json = nlohmann::json;

absl::Status BadJson(std::string_view field, std::string_view what) {
  return Error(
      absl::StatusCode::kInvalidArgument, absl::StrCat(ToAbsl(field), " ", ToAbsl(what)),
      {.reason = "PROMPT_INVALID", .violations = {{std::string(field), std::string(what)}}});
}

template <size_t n>
absl::Status CheckKeys(const Json& object, const std::array<const char*, n>& known,
                       std::string_view path) {
  if (!object.is_object()) return BadJson(path, "must be an object");
  for (const auto& [key, value] : object.items()) {
    const bool found = std::any_of(known.begin(), known.end(),
                                   [&key = key](const char* name) { return key == name; });
    if (!found) {
      return BadJson(absl::StrCat(ToAbsl(path), path.empty() ? "" : ".", key),
                     absl::StrCat("is not known; known are: ", absl::StrJoin(known, ", ")));
    }
  }
  return absl::OkStatus();
}

const Json* Find(const Json& object, const char* key) {
  const auto member = object.find(key);
  return member == object.end() || member->is_null() ? nullptr : &*member;
}

void PutCarried(Json& out, const char* key, const std::string& text) {
  if (!text.empty()) out[key] = Json::parse(text, nullptr, false);
}

Json SamplingToJson(const Sampling& sampling) {
  Json out = Json::object();
  if (sampling.temperature) out["temperature"] = *sampling.temperature;
  if (sampling.top_p) out["top_p"] = *sampling.top_p;
  if (sampling.top_k) out["top_k"] = *sampling.top_k;
  if (sampling.max_tokens) out["max_tokens"] = *sampling.max_tokens;
  if (sampling.seed) out["seed"] = *sampling.seed;
  if (!sampling.stop.empty()) out["stop"] = sampling.stop;
  return out;
}

// An example is its conversation and the values of its other variables: weights, origin and split
// would make equal prompts differ.
Json ExampleToJson(const dataset::Row& row) {
  Json value = {{"messages", Json::parse(dataset::MessagesToJson(row.messages), nullptr, false)}};
  PutCarried(value, "fields", row.fields);
  return value;
}

Json SpecToJson(const PromptSpec& spec) {
  Json out = {{"messages", Json::array()}};
  for (const TemplateMessage& message : spec.messages) {
    out["messages"].push_back({{"role", message.role}, {"content", message.content}});
  }
  PutCarried(out, "variables", spec.variables);
  for (const dataset::Row& row : spec.few_shot) out["few_shot"].push_back(ExampleToJson(row));
  PutCarried(out, "dynamic_few_shot", spec.dynamic_few_shot);
  if (spec.strategy != Strategy::kSingle) out["strategy"] = std::string(ToString(spec.strategy));
  PutCarried(out, "steps", spec.steps);
  PutCarried(out, "retrieval", spec.retrieval);
  PutCarried(out, "response_format", spec.response_format);
  if (Json sampling = SamplingToJson(spec.sampling); !sampling.empty())
    out["sampling"] = std::move(sampling);
  return out;
}

absl::Status ParseTemplateMessages(const Json& object, PromptSpec& spec) {
  const Json* messages = Find(object, "messages");
  if (messages == nullptr || !messages->is_array())
    return BadJson("messages", "must be an array of {role, content}");
  for (size_t i = 0; i < messages->size(); ++i) {
    const Json& message = (*messages)[i];
    const std::string path = absl::StrCat("messages[", i, "]");
    RETURN_IF_ERROR(CheckKeys(message, std::array{"role", "content"}, path));
    for (const char* key : {"role", "content"}) {
      const Json* value = Find(message, key);
      if (value == nullptr || !value->is_string())
        return BadJson(absl::StrCat(path, ".", key), "must be a string");
    }
    spec.messages.push_back({message["role"], message["content"]});
  }
  return absl::OkStatus();
}

absl::Status ParseFewShot(const Json& object, PromptSpec& spec) {
  const Json* rows = Find(object, "few_shot");
  if (rows == nullptr) return absl::OkStatus();
  if (!rows->is_array()) return BadJson("few_shot", "must be an array of rows");
  for (size_t i = 0; i < rows->size(); ++i) {
    auto parsed =
        dataset::ParseRow((*rows)[i].dump(-1, ' ', false, Json::error_handler_t::replace));
    if (!parsed.ok()) return WithContext(parsed.status(), absl::StrCat("few_shot[", i, "]"));
    dataset::Row row;
    row.messages = std::move(parsed->row.messages);
    row.fields = std::move(parsed->row.fields);
    for (dataset::Message& message : row.messages) message.weight.reset();
    spec.few_shot.push_back(std::move(row));
  }
  return absl::OkStatus();
}

absl::Status ParseCarried(const Json& object, const char* key, bool array, std::string& out) {
  const Json* value = Find(object, key);
  if (value == nullptr) return absl::OkStatus();
  if (array ? !value->is_array() : !value->is_object())
    return BadJson(key, array ? "must be an array" : "must be an object");
  if (!value->empty()) out = value->dump(-1, ' ', false, Json::error_handler_t::replace);
  return absl::OkStatus();
}

absl::StatusOr<Strategy> ParseStrategy(const Json& object) {
  const Json* value = Find(object, "strategy");
  if (value == nullptr) return Strategy::kSingle;
  for (Strategy strategy : {Strategy::kSingle, Strategy::kStepByStep, Strategy::kDecomposed}) {
    if (*value == std::string(ToString(strategy))) return strategy;
  }
  return BadJson("strategy", "must be SINGLE, STEP_BY_STEP or DECOMPOSED");
}

absl::Status ParseNumber(const Json& object, const char* key, std::optional<double>& out) {
  const Json* value = Find(object, key);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_number()) return BadJson(absl::StrCat("sampling.", key), "must be a number");
  out = value->get<double>();
  return absl::OkStatus();
}

absl::Status ParseInteger(const Json& object, const char* key, std::optional<int64_t>& out) {
  const Json* value = Find(object, key);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_number_integer())
    return BadJson(absl::StrCat("sampling.", key), "must be an integer");
  out = value->get<int64_t>();
  return absl::OkStatus();
}

absl::Status ParseStop(const Json& object, std::vector<std::string>& out) {
  const Json* value = Find(object, "stop");
  if (value == nullptr) return absl::OkStatus();
  const Json list = value->is_string() ? Json::array({*value}) : *value;
  if (!list.is_array()) return BadJson("sampling.stop", "must be a string or an array of strings");
  for (const Json& item : list) {
    if (!item.is_string())
      return BadJson("sampling.stop", "must be a string or an array of strings");
    out.push_back(item.get<std::string>());
  }
  return absl::OkStatus();
}

absl::Status ParseSampling(const Json& object, Sampling& sampling) {
  const Json* value = Find(object, "sampling");
  if (value == nullptr) return absl::OkStatus();
  RETURN_IF_ERROR(
      CheckKeys(*value, std::array{"temperature", "top_p", "top_k", "max_tokens", "seed", "stop"},
                "sampling"));
  RETURN_IF_ERROR(ParseNumber(*value, "temperature", sampling.temperature));
  RETURN_IF_ERROR(ParseNumber(*value, "top_p", sampling.top_p));
  RETURN_IF_ERROR(ParseInteger(*value, "top_k", sampling.top_k));
  RETURN_IF_ERROR(ParseInteger(*value, "max_tokens", sampling.max_tokens));
  RETURN_IF_ERROR(ParseInteger(*value, "seed", sampling.seed));
  return ParseStop(*value, sampling.stop);
}

// Parses no deeper than 64 levels, so that neither parsing nor writing can exhaust the stack.
Json ParseShallow(std::string_view text) {
  return Json::parse(text, [](int depth, Json::parse_event_t, Json&) {
    if (depth > 64) throw std::length_error("nests deeper than 64 levels");
    return true;
  });
}

absl::StatusOr<PromptSpec> SpecFromJson(const Json& object) {
  RETURN_IF_ERROR(
      CheckKeys(object,
                std::array{"messages", "variables", "few_shot", "dynamic_few_shot", "strategy",
                           "steps", "retrieval", "response_format", "sampling"},
                ""));
  PromptSpec spec;
  RETURN_IF_ERROR(ParseTemplateMessages(object, spec));
  RETURN_IF_ERROR(ParseFewShot(object, spec));
  RETURN_IF_ERROR(ParseCarried(object, "variables", false, spec.variables));
  RETURN_IF_ERROR(ParseCarried(object, "dynamic_few_shot", false, spec.dynamic_few_shot));
  RETURN_IF_ERROR(ParseCarried(object, "steps", true, spec.steps));
  RETURN_IF_ERROR(ParseCarried(object, "retrieval", false, spec.retrieval));
  RETURN_IF_ERROR(ParseCarried(object, "response_format", false, spec.response_format));
  ASSIGN_OR_RETURN(spec.strategy, ParseStrategy(object));
  RETURN_IF_ERROR(ParseSampling(object, spec.sampling));
  return spec;
}

}  // namespace

std::string_view ToString(Strategy strategy) {
  switch (strategy) {
    case Strategy::kStepByStep:
      return "STEP_BY_STEP";
    case Strategy::kDecomposed:
      return "DECOMPOSED";
    case Strategy::kSingle:
      break;
  }
  return "SINGLE";
}

std::string ToJson(const PromptSpec& spec) {
  return SpecToJson(spec).dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<PromptSpec> Parse(std::string_view json) {
  try {
    ASSIGN_OR_RETURN(PromptSpec spec, SpecFromJson(ParseShallow(json)));
    RETURN_IF_ERROR(Validate(spec));
    return spec;
  } catch (const std::exception& e) {  // Json::exception or ParseShallow's
    return BadJson("prompt", absl::StrCat("is not valid JSON: ", e.what()));
  }
}

absl::StatusOr<std::string> Digest(const PromptSpec& spec) {
  RETURN_IF_ERROR(Validate(spec));
  return CanonicalDigest(SpecToJson(spec));
}

}  // namespace crossover::prompt
