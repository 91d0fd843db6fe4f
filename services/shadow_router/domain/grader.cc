#include "services/shadow_router/domain/grader.h"

// A schema that valijson can't use must not end the process, which is its default.
#define VALIJSON_USE_EXCEPTIONS 1

#include <algorithm>
#include <exception>
#include <utility>

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "services/shadow_router/domain/answer_json.h"
#include "services/shadow_router/domain/hash.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

absl::Status Unfit(const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "OUTPUT_CONTRACT", what);
}

absl::Status BadSchema(std::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "INVALID_SCHEMA",
               absl::StrCat("the task's json_schema cannot be used: ", ToAbsl(what)));
}

// std::regex, which `pattern` is matched with, recurses once per character.
constexpr size_t kMaxMatchedBytes = 8 << 10;

size_t LongestString(const Json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().size();
  size_t longest = 0;
  if (value.is_structured()) {
    for (const Json& child : value) longest = std::max(longest, LongestString(child));
  }
  return longest;
}

}  // namespace

std::string_view ToString(GradeSource source) {
  switch (source) {
    case GradeSource::kLabel:
      return "LABEL";
    case GradeSource::kFeedback:
      return "FEEDBACK";
    case GradeSource::kValidator:
      return "VALIDATOR";
    case GradeSource::kJudge:
      return "JUDGE";
  }
  return "UNKNOWN";
}

absl::StatusOr<Validator> Validator::Create(const OutputContract& contract) {
  Validator validator;
  validator.labels_ = {contract.label_set.begin(), contract.label_set.end()};
  validator.version_ =
      JsonDigest({{"labels", contract.label_set}, {"schema", contract.json_schema}});
  if (contract.json_schema.empty()) return validator;
  const std::optional<Json> document = ParseJson(contract.json_schema);
  if (!document || (!document->is_object() && !document->is_boolean()))
    return BadSchema("it is not a JSON object");
  validator.matches_patterns_ = contract.json_schema.find("\"pattern") != std::string::npos;
  try {
    auto schema = std::make_shared<valijson::Schema>();
    valijson::SchemaParser parser;
    valijson::adapters::NlohmannJsonAdapter adapter(*document);
    parser.populateSchema(adapter, *schema);
    validator.schema_ = std::move(schema);
  } catch (const std::exception& error) {  // A keyword of the wrong form, a remote $ref.
    return BadSchema(error.what());
  }
  return validator;
}

absl::Status Validator::Check(std::string_view content) const {
  if (!labels_.empty() &&
      !labels_.contains(std::string(absl::StripAsciiWhitespace(ToAbsl(content))))) {
    return Unfit("the answer is not one of the task's labels");
  }
  if (schema_ == nullptr) return absl::OkStatus();
  const std::optional<Json> value = ParseJson(content);
  if (!value) return Unfit("the answer is not valid JSON");
  if (matches_patterns_ && LongestString(*value) > kMaxMatchedBytes)
    return Unfit("the answer holds a string that is too long to be matched with a pattern");
  try {
    valijson::Validator validator;
    valijson::ValidationResults results;
    valijson::adapters::NlohmannJsonAdapter adapter(*value);
    if (validator.validate(*schema_, adapter, &results)) return absl::OkStatus();
    valijson::ValidationResults::Error error;
    if (!results.popError(error)) return Unfit("the answer does not fit the schema");
    return Unfit(
        absl::StrCat("the answer", absl::StrJoin(error.context, ""), ": ", error.description));
  } catch (const std::exception& error) {  // A pattern that std::regex does not understand.
    return Unfit(absl::StrCat("the answer cannot be checked: ", error.what()));
  }
}

double LabelLoss(const ComparatorSpec& spec, const Answer& answer, std::string_view label) {
  if (!answer.IsWhole()) return 1;
  const std::string& given =
      spec.kind == ComparatorSpec::Kind::kToolCalls ? answer.tool_calls : answer.content;
  return CompareText(spec, given, label).equal ? 0 : 1;
}

std::string ComparatorVersion(const ComparatorSpec& spec) {
  return JsonDigest({{"comparator", ToString(spec.kind)},
                     {"fields", spec.fields},
                     {"tolerance", spec.tolerance}});
}

}  // namespace crossover::router
