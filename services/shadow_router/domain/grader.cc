#include "services/shadow_router/domain/grader.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/hash.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

const std::set<std::string>& KnownKeywords() {
  static const auto* const known = new std::set<std::string>{
      "type",    "enum",     "const",    "required",    "properties", "additionalProperties",
      "items",   "minItems", "maxItems", "minLength",   "maxLength",  "minimum",
      "maximum", "title",    "$schema",  "description", "default",    "examples",
      "$id",     "$comment"};
  return *known;
}

absl::Status Unfit(const std::string& path, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "OUTPUT_CONTRACT",
               absl::StrCat(path.empty() ? "the answer" : path, " ", what));
}

absl::Status CheckSchema(const Json& schema, const std::string& path) {
  if (schema.is_boolean()) return absl::OkStatus();
  if (!schema.is_object()) {
    return Error(absl::StatusCode::kInvalidArgument, "INVALID_SCHEMA",
                 absl::StrCat("schema", path, " is neither an object nor a boolean"));
  }
  for (auto it = schema.begin(); it != schema.end(); ++it) {
    if (!KnownKeywords().contains(it.key())) {
      return Error(
          absl::StatusCode::kInvalidArgument, "UNSUPPORTED_SCHEMA_KEYWORD",
          absl::StrCat("schema", path, ".", it.key(), " is not understood by the validator"));
    }
  }
  if (const auto properties = schema.find("properties"); properties != schema.end()) {
    if (!properties->is_object()) {
      return Error(absl::StatusCode::kInvalidArgument, "INVALID_SCHEMA",
                   absl::StrCat("schema", path, ".properties is not an object"));
    }
    for (auto it = properties->begin(); it != properties->end(); ++it) {
      RETURN_IF_ERROR(CheckSchema(*it, absl::StrCat(path, ".properties.", it.key())));
    }
  }
  if (const auto extra = schema.find("additionalProperties");
      extra != schema.end() && !extra->is_boolean()) {
    return Error(absl::StatusCode::kInvalidArgument, "UNSUPPORTED_SCHEMA_KEYWORD",
                 absl::StrCat("schema", path, ".additionalProperties must be true or false"));
  }
  if (const auto items = schema.find("items"); items != schema.end()) {
    RETURN_IF_ERROR(CheckSchema(*items, path + ".items"));
  }
  return absl::OkStatus();
}

bool HasType(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "number") return value.is_number();
  if (type == "integer") {
    return value.is_number_integer() ||
           (value.is_number_float() &&
            value.get<double>() == static_cast<double>(static_cast<int64_t>(value.get<double>())));
  }
  return false;
}

bool TypeFits(const Json& type, const Json& value) {
  if (type.is_string()) return HasType(value, type.get<std::string>());
  if (!type.is_array()) return false;
  for (const Json& one : type) {
    if (one.is_string() && HasType(value, one.get<std::string>())) return true;
  }
  return false;
}

// Code points of valid UTF-8, as JSON Schema counts length.
size_t Length(const std::string& text) {
  size_t count = 0;
  for (unsigned char c : text) count += (c & 0xC0) != 0x80;
  return count;
}

absl::Status CheckBound(const Json& schema, const char* key, double value, bool upper,
                        const std::string& path, const char* what) {
  const auto bound = schema.find(key);
  if (bound == schema.end() || !bound->is_number()) return absl::OkStatus();
  const double limit = bound->get<double>();
  if (upper ? value <= limit : value >= limit) return absl::OkStatus();
  return Unfit(path, absl::StrCat("has ", what, " ", value, ", ", key, " is ", limit));
}

absl::Status Fits(const Json& schema, const Json& value, const std::string& path);

absl::Status ObjectFits(const Json& schema, const Json& value, const std::string& path) {
  const Json properties = schema.value("properties", Json::object());
  for (const Json& key : schema.value("required", Json::array())) {
    if (key.is_string() && !value.contains(key.get<std::string>())) {
      return Unfit(path, absl::StrCat("lacks the field '", key.get<std::string>(), "'"));
    }
  }
  const auto extra = schema.find("additionalProperties");
  const bool closed = extra != schema.end() && *extra == false;
  for (auto it = value.begin(); it != value.end(); ++it) {
    const std::string child = path.empty() ? it.key() : absl::StrCat(path, ".", it.key());
    const auto known = properties.find(it.key());
    if (known != properties.end()) {
      RETURN_IF_ERROR(Fits(*known, *it, child));
    } else if (closed) {
      return Unfit(path,
                   absl::StrCat("has the field '", it.key(), "', which the schema does not allow"));
    }
  }
  return absl::OkStatus();
}

absl::Status Fits(const Json& schema, const Json& value, const std::string& path) {
  if (schema.is_boolean()) {
    return schema.get<bool>() ? absl::OkStatus() : Unfit(path, "is not allowed here");
  }
  if (const auto type = schema.find("type"); type != schema.end() && !TypeFits(*type, value)) {
    return Unfit(path, absl::StrCat("is ", value.type_name(), ", expected ", type->dump()));
  }
  if (const auto options = schema.find("enum"); options != schema.end() && options->is_array()) {
    bool found = false;
    for (const Json& option : *options) found = found || option == value;
    if (!found)
      return Unfit(path,
                   absl::StrCat("is ", value.dump(-1, ' ', false, Json::error_handler_t::replace),
                                ", expected one of ", options->dump()));
  }
  if (const auto fixed = schema.find("const"); fixed != schema.end() && *fixed != value) {
    return Unfit(path, absl::StrCat("is not ", fixed->dump()));
  }
  if (value.is_string()) {
    const auto length = static_cast<double>(Length(value.get<std::string>()));
    RETURN_IF_ERROR(CheckBound(schema, "minLength", length, false, path, "length"));
    RETURN_IF_ERROR(CheckBound(schema, "maxLength", length, true, path, "length"));
  }
  if (value.is_number()) {
    RETURN_IF_ERROR(CheckBound(schema, "minimum", value.get<double>(), false, path, "the value"));
    RETURN_IF_ERROR(CheckBound(schema, "maximum", value.get<double>(), true, path, "the value"));
  }
  if (value.is_array()) {
    const auto size = static_cast<double>(value.size());
    RETURN_IF_ERROR(CheckBound(schema, "minItems", size, false, path, "length"));
    RETURN_IF_ERROR(CheckBound(schema, "maxItems", size, true, path, "length"));
    if (const auto items = schema.find("items"); items != schema.end()) {
      for (size_t i = 0; i < value.size(); ++i) {
        RETURN_IF_ERROR(Fits(*items, value[i], absl::StrCat(path, "[", i, "]")));
      }
    }
  }
  return value.is_object() ? ObjectFits(schema, value, path) : absl::OkStatus();
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
  validator.schema_ = contract.json_schema;
  if (!contract.json_schema.empty()) {
    const Json schema = Json::parse(contract.json_schema, nullptr, false);
    if (schema.is_discarded()) {
      return Error(absl::StatusCode::kInvalidArgument, "INVALID_SCHEMA",
                   "the task's json_schema is not valid JSON");
    }
    RETURN_IF_ERROR(CheckSchema(schema, ""));
  }
  validator.version_ =
      JsonDigest({{"labels", contract.label_set}, {"schema", contract.json_schema}});
  return validator;
}

absl::Status Validator::Check(std::string_view content) const {
  if (!labels_.empty() &&
      !labels_.contains(std::string(absl::StripAsciiWhitespace(ToAbsl(content))))) {
    return Unfit("", "is not one of the task's labels");
  }
  if (schema_.empty()) return absl::OkStatus();
  const Json value = Json::parse(content, nullptr, false);
  if (value.is_discarded()) return Unfit("", "is not valid JSON");
  return Fits(Json::parse(schema_, nullptr, false), value, "");
}

double LabelLoss(const ComparatorSpec& spec, const Answer& answer, std::string_view label) {
  if (answer.status != CallStatus::kOk) return 1;
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
