// Reading the members of a request's JSON. Of this room only.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "services/model_server/transport/openai_json.h"

namespace crossover::inference {

using ParsedJson = nlohmann::json;

inline absl::Status BodyFieldError(const std::string& field, const std::string& rule) {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat("'", field, "' ", rule),
               {.reason = "FIELD_INVALID", .violations = {{field, rule}}});
}

// Discarded if it is no JSON or over 200 levels deep: writing and copying takes stack for each.
inline ParsedJson ParseBody(std::string_view body) {
  bool deep = false;
  const auto watch = [&](int depth, ParsedJson::parse_event_t, ParsedJson&) {
    deep |= depth > 200;
    return !deep;
  };
  ParsedJson root = ParsedJson::parse(body, watch, /*allow_exceptions=*/false);
  return deep ? ParsedJson(ParsedJson::value_t::discarded) : root;
}

// Null if there is none.
inline const ParsedJson& Member(const ParsedJson& object, const char* key) {
  static const ParsedJson null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

// response_format, guided_json, guided_regex, guided_choice and tool_choice. `body` is the text of
// `root`, which has lost the order of members.
absl::Status ReadConstraint(const ParsedJson& root, std::string_view body,
                            GenerateCommand& command);

// Refuses by name each field that would change the answer and is not served, unless it asks for
// what is done anyway. Other fields that are not known are ignored.
absl::Status RefuseUnserved(const ParsedJson& root);
// parallel_tool_calls false is served where the answer is one call. `command` has its constraint.
absl::Status RefuseOneCallOnly(const ParsedJson& root, const GenerateCommand& command);

// adapter_mix: [{"digest": …, "weight": …}].
absl::Status ReadAdapterMix(const ParsedJson& root, GenerateCommand& command);

}  // namespace crossover::inference
