#include "services/shadow_router/domain/comparator.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/status/absl_view.h"
#include "services/shadow_router/domain/answer_json.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

// Leaves of a value by dotted path. Empty objects and lists are leaves themselves.
void Flatten(const Json& value, const std::string& path, std::map<std::string, Json>& leaves) {
  const bool container = (value.is_object() || value.is_array()) && !value.empty();
  if (!container) {
    leaves[path] = value;
    return;
  }
  size_t index = 0;
  for (auto it = value.begin(); it != value.end(); ++it, ++index) {
    const std::string key = value.is_object() ? it.key() : absl::StrCat(index);
    Flatten(*it, path.empty() ? key : absl::StrCat(path, ".", key), leaves);
  }
}

const Json* AtPath(const Json& root, const std::string& path) {
  const Json* at = &root;
  for (absl::string_view part : absl::StrSplit(path, '.')) {
    if (at->is_object()) {
      const auto it = at->find(std::string(part));
      if (it == at->end()) return nullptr;
      at = &*it;
    } else if (at->is_array()) {
      size_t index = 0;
      if (!absl::SimpleAtoi(part, &index) || index >= at->size()) return nullptr;
      at = &(*at)[index];
    } else {
      return nullptr;
    }
  }
  return at;
}

std::vector<FieldResult> CompareAllLeaves(const Json& a, const Json& b) {
  std::map<std::string, Json> left, right;
  Flatten(a, "", left);
  Flatten(b, "", right);
  std::set<std::string> paths;
  for (const auto& [path, unused] : left) paths.insert(path);
  for (const auto& [path, unused] : right) paths.insert(path);
  std::vector<FieldResult> result;
  for (const std::string& path : paths) {
    const auto l = left.find(path);
    const auto r = right.find(path);
    result.push_back({path, l != left.end() && r != right.end() && l->second == r->second});
  }
  return result;
}

ComparisonResult CompareJson(const ComparatorSpec& spec, std::string_view answer,
                             std::string_view reference) {
  ComparisonResult result{.comparator = "json_fields"};
  const std::optional<Json> a = ParseJson(answer);
  const std::optional<Json> b = ParseJson(reference);
  if (!a || !b) {
    for (const std::string& path : spec.fields) result.fields.push_back({path, false});
    return result;  // What does not parse equals nothing, itself included.
  }
  if (spec.fields.empty()) {
    result.fields = CompareAllLeaves(*a, *b);
  } else {
    for (const std::string& path : spec.fields) {
      const Json* l = AtPath(*a, path);
      const Json* r = AtPath(*b, path);
      // A field that both leave out counts as null on both sides.
      const Json null;
      result.fields.push_back({path, (l ? *l : null) == (r ? *r : null)});
    }
  }
  std::sort(result.fields.begin(), result.fields.end(),
            [](const FieldResult& x, const FieldResult& y) { return x.path < y.path; });
  const auto equal = std::count_if(result.fields.begin(), result.fields.end(),
                                   [](const FieldResult& field) { return field.equal; });
  result.equal = equal == static_cast<std::ptrdiff_t>(result.fields.size());
  result.score = result.fields.empty() ? 1.0 : static_cast<double>(equal) / result.fields.size();
  return result;
}

std::optional<double> OneNumber(std::string_view text) {
  double value = 0;
  if (!absl::SimpleAtod(absl::StripAsciiWhitespace(ToAbsl(text)), &value)) return std::nullopt;
  if (!std::isfinite(value)) return std::nullopt;
  return value;
}

bool NumericEqual(double tolerance, std::string_view a, std::string_view b) {
  const auto x = OneNumber(a);
  const auto y = OneNumber(b);
  return x && y && std::abs(*x - *y) <= tolerance * std::max(1.0, std::abs(*y));
}

ComparisonResult Binary(std::string_view name, bool equal) {
  return {
      .comparator = std::string(name), .equal = equal, .score = equal ? 1.0 : 0.0, .fields = {}};
}

}  // namespace

std::string_view ToString(ComparatorSpec::Kind kind) {
  switch (kind) {
    case ComparatorSpec::Kind::kExact:
      return "exact";
    case ComparatorSpec::Kind::kText:
      return "normalised";
    case ComparatorSpec::Kind::kJson:
      return "json_fields";
    case ComparatorSpec::Kind::kNumeric:
      return "numeric";
    case ComparatorSpec::Kind::kToolCalls:
      return "tool_call";
  }
  return "unknown";
}

std::string NormalisedText(std::string_view text) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* fold = icu::Normalizer2::getNFKCCasefoldInstance(error);
  icu::UnicodeString source = icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
  icu::UnicodeString folded = U_SUCCESS(error) ? fold->normalize(source, error) : source;
  if (U_FAILURE(error)) folded = source;
  icu::UnicodeString out;
  bool blank = false;
  for (int32_t i = 0; i < folded.length(); i = folded.moveIndex32(i, 1)) {
    const UChar32 c = folded.char32At(i);
    if (u_isUWhiteSpace(c)) {
      blank = true;
      continue;
    }
    if (blank && !out.isEmpty()) out.append(static_cast<UChar>(' '));
    blank = false;
    out.append(c);
  }
  std::string utf8;
  out.toUTF8String(utf8);
  return utf8;
}

ComparisonResult CompareText(const ComparatorSpec& spec, std::string_view answer,
                             std::string_view reference) {
  const std::string_view name = ToString(spec.kind);
  switch (spec.kind) {
    case ComparatorSpec::Kind::kExact:
    case ComparatorSpec::Kind::kToolCalls:
      return Binary(name, answer == reference);
    case ComparatorSpec::Kind::kText:
      return Binary(name, NormalisedText(answer) == NormalisedText(reference));
    case ComparatorSpec::Kind::kJson:
      return CompareJson(spec, answer, reference);
    case ComparatorSpec::Kind::kNumeric:
      return Binary(name, NumericEqual(spec.tolerance, answer, reference));
  }
  return Binary(name, false);
}

ComparisonResult Compare(const ComparatorSpec& spec, const Answer& answer,
                         const Answer& reference) {
  if (spec.kind == ComparatorSpec::Kind::kToolCalls) {
    return CompareText(spec, answer.tool_calls, reference.tool_calls);
  }
  return CompareText(spec, answer.content, reference.content);
}

}  // namespace crossover::router
