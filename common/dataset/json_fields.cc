#include "common/dataset/json_fields.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::dataset::internal {
namespace {

constexpr int kMaxDepth = 64;

// True if brackets nest no deeper than kMaxDepth; brackets inside strings don't count.
bool DepthIsFine(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return false;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return true;
}

// nlohmann's message without its "[json.exception.parse_error.101] " prefix.
std::string ParserMessage(std::string_view what) {
  const size_t bracket = what.find("] ");
  return std::string(bracket == std::string_view::npos ? what : what.substr(bracket + 2));
}

}  // namespace

absl::Status FieldError(std::string_view path, std::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(ToAbsl(path), " ", ToAbsl(what)),
               {.reason = "ROW_INVALID", .violations = {{std::string(path), std::string(what)}}});
}

std::string Join(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : absl::StrCat(ToAbsl(path), ".", ToAbsl(key));
}

std::string At(std::string_view path, size_t index) {
  return absl::StrCat(ToAbsl(path), "[", index, "]");
}

std::string_view Kind(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    default:
      return "a number";
  }
}

absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view path) {
  if (!DepthIsFine(text)) return FieldError(path, "nests deeper than 64 levels");
  try {
    return Json::parse(text);
  } catch (const Json::exception& e) {
    return FieldError(path, absl::StrCat("is not valid JSON: ", ParserMessage(e.what())));
  }
}

const Json* Find(const Json& object, const char* key) {
  const auto member = object.find(key);
  return member == object.end() || member->is_null() ? nullptr : &*member;
}

absl::StatusOr<std::string> RequiredString(const Json& object, const char* key,
                                           std::string_view path) {
  const Json* value = Find(object, key);
  if (value == nullptr) return FieldError(Join(path, key), "is missing: a string is needed");
  return OptionalString(object, key, path);
}

absl::StatusOr<std::string> OptionalString(const Json& object, const char* key,
                                           std::string_view path) {
  const Json* value = Find(object, key);
  if (value == nullptr) return std::string();
  if (!value->is_string()) {
    return FieldError(Join(path, key),
                      absl::StrCat("must be a string, not ", ToAbsl(Kind(*value))));
  }
  return value->get<std::string>();
}

absl::StatusOr<std::optional<double>> OptionalWeight(const Json& object, std::string_view path) {
  const Json* value = Find(object, "weight");
  if (value == nullptr) return std::optional<double>();
  const std::string field = Join(path, "weight");
  if (!value->is_number()) {
    return FieldError(field, absl::StrCat("must be a number, not ", ToAbsl(Kind(*value))));
  }
  const double weight = value->get<double>();
  if (!std::isfinite(weight) || weight < 0) return FieldError(field, "must be 0 or more");
  return std::optional<double>(weight);
}

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace crossover::dataset::internal
