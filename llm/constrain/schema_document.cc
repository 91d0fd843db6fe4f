#include "llm/constrain/schema_document.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm::constrain {

namespace {

constexpr size_t kMaxSchemaBytes = 128 << 10;
constexpr int kMaxSchemaDepth = 100;

absl::Status BadSchema(const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, "CONSTRAINT_INVALID", message);
}

// %2F and the like, as in any URI fragment.
std::string PercentDecoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string digits(text.substr(i + 1, 2));
    if (text[i] == '%' && digits.size() == 2 && absl::ascii_isxdigit(digits[0]) &&
        absl::ascii_isxdigit(digits[1])) {
      out += absl::HexStringToBytes(digits);
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

}  // namespace

SchemaPlace SchemaPlace::At(std::string_view key) const {
  const std::string step = absl::StrReplaceAll(ToAbsl(key), {{"~", "~0"}, {"/", "~1"}});
  return {&json->at(std::string(key)), absl::StrCat(pointer, "/", step)};
}

SchemaPlace SchemaPlace::At(size_t index) const {
  return {&json->at(index), absl::StrCat(pointer, "/", index)};
}

absl::Status SchemaError(const SchemaPlace& place, std::string_view what) {
  return BadSchema(absl::StrCat("JSON Schema at ", place.pointer, ": ", ToAbsl(what)));
}

absl::StatusOr<SchemaJson> ParseSchema(std::string_view text) {
  if (text.size() > kMaxSchemaBytes)
    return BadSchema(absl::StrCat("the JSON Schema has ", text.size(), " bytes; at most ",
                                  kMaxSchemaBytes, " are served"));
  bool deep = false;
  const auto watch = [&](int depth, SchemaJson::parse_event_t, SchemaJson&) {
    deep |= depth > kMaxSchemaDepth;
    return !deep;
  };
  SchemaJson json = SchemaJson::parse(text, watch, /*allow_exceptions=*/false);
  if (deep)
    return BadSchema(absl::StrCat("the JSON Schema is over ", kMaxSchemaDepth, " levels deep"));
  if (json.is_discarded()) return BadSchema("the JSON Schema is no JSON");
  return json;
}

absl::StatusOr<SchemaPlace> Resolve(const SchemaJson& root, const SchemaPlace& place) {
  const SchemaPlace at = place.At("$ref");
  if (!at.json->is_string()) return SchemaError(at, "$ref must be a text");
  const std::string ref = at.json->get<std::string>();
  if (ref != "#" && !ref.starts_with("#/"))
    return SchemaError(at, absl::StrCat("$ref '", ref, "' is not served; # and #/… are"));
  SchemaPlace target{&root, "#"};
  if (ref == "#") return target;
  for (const absl::string_view part : absl::StrSplit(ref.substr(2), '/')) {
    const std::string key =
        absl::StrReplaceAll(PercentDecoded(ToStd(part)), {{"~1", "/"}, {"~0", "~"}});
    size_t index = 0;
    if (target.json->is_object() && target.json->contains(key)) {
      target = target.At(key);
    } else if (target.json->is_array() && absl::SimpleAtoi(key, &index) &&
               index < target.json->size()) {
      target = target.At(index);
    } else {
      return SchemaError(at, absl::StrCat("$ref '", ref, "' names nothing in this schema"));
    }
    if (target.json->is_object() && target.json->contains("$id"))
      return SchemaError(target, "$id below the root is not served");
  }
  return target;
}

}  // namespace crossover::llm::constrain
