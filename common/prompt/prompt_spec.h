// A prompt as a value: what evaluation measures and what a route serves are the same PromptSpec.
//
// JSON form (strict: unknown keys are errors):
//   {"messages":[{"role","content"}], "variables":{JSON schema with "properties"},
//   "few_shot":[row…],
//    "dynamic_few_shot":{…}, "strategy":"SINGLE"|"STEP_BY_STEP"|"DECOMPOSED", "steps":[…],
//    "retrieval":{…}, "response_format":{…}, "sampling":{temperature, top_p, top_k, max_tokens,
//    seed, stop[]}}
// The digest is over its RFC 8785 form with absent keys omitted.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/dataset/row.h"

namespace crossover::prompt {

// The variable that is always there: the task's input.
inline constexpr std::string_view kInput = "input";

struct TemplateMessage {
  std::string role;  // system | developer | user | assistant
  std::string content;

  bool operator==(const TemplateMessage&) const = default;
};

// Absent = the server's default.
struct Sampling {
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int64_t> top_k;
  std::optional<int64_t> max_tokens;
  std::optional<int64_t> seed;
  std::vector<std::string> stop;

  bool operator==(const Sampling&) const = default;
};

enum class Strategy { kSingle, kStepByStep, kDecomposed };

struct PromptSpec {
  std::vector<TemplateMessage> messages;
  std::string variables;  // JSON schema (object); its properties are the names beside `input`
  // Static examples, each with an answer. A row's `fields` are the values of its other variables.
  std::vector<dataset::Row> few_shot;
  std::string dynamic_few_shot;  // JSON {dataset_version, k, index}; data only so far
  Strategy strategy = Strategy::kSingle;
  std::string steps;            // JSON array; data only so far
  std::string retrieval;        // JSON {collection, k, max_tokens}; data only so far
  std::string response_format;  // JSON, as in a chat request
  Sampling sampling;

  bool operator==(const PromptSpec&) const = default;
};

// Names that templates may use: `input` and the properties of `variables`.
std::set<std::string> VariableNames(const PromptSpec& spec);

// OK if the spec can be rendered: roles, templates, names, `{{input}}` used in the messages,
// few-shot rows with answers. InvalidArgument whose message starts with the field
// (`messages[1].content line 3 column 7: unknown variable …`).
absl::Status Validate(const PromptSpec& spec);

// The JSON form; Parse(ToJson(s)) == s for valid specs. Parse validates.
std::string ToJson(const PromptSpec& spec);
absl::StatusOr<PromptSpec> Parse(std::string_view json);

// `sha256:…` of the RFC 8785 form.
absl::StatusOr<std::string> Digest(const PromptSpec& spec);

std::string_view ToString(Strategy strategy);

}  // namespace crossover::prompt
