#include "common/list/resource_name.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::list {
namespace {

absl::Status InvalidName(std::string_view reason, std::string_view field, std::string_view what) {
  return Error(
      absl::StatusCode::kInvalidArgument, absl::StrCat(ToAbsl(field), " ", ToAbsl(what)),
      {.reason = std::string(reason), .violations = {{std::string(field), std::string(what)}}});
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseName(std::string_view name, std::string_view pattern,
                                                   std::string_view field) {
  if (name.empty()) {
    return InvalidName("FIELD_REQUIRED", field,
                       absl::StrCat("is missing: must look like ", ToAbsl(pattern)));
  }
  const std::vector<std::string> parts = absl::StrSplit(ToAbsl(name), '/');
  const std::vector<std::string> shape = absl::StrSplit(ToAbsl(pattern), '/');
  std::vector<std::string> values;
  bool fits = parts.size() == shape.size();
  for (size_t i = 0; fits && i < shape.size(); ++i) {
    if (shape[i] == "*") {
      fits = !parts[i].empty();
      values.push_back(parts[i]);
    } else {
      fits = parts[i] == shape[i];
    }
  }
  if (fits) return values;
  return InvalidName("FIELD_INVALID", field,
                     absl::StrCat("is `", ToAbsl(name), "`: must look like ", ToAbsl(pattern)));
}

absl::Status CheckSlug(std::string_view slug, std::string_view field) {
  const bool fits = !slug.empty() && slug.size() <= 63 && absl::ascii_islower(slug.front()) &&
                    slug.back() != '-' && std::all_of(slug.begin(), slug.end(), [](char c) {
                      return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
                    });
  if (fits) return absl::OkStatus();
  return InvalidName(
      "FIELD_INVALID", field,
      absl::StrCat(
          "is `", ToAbsl(slug),
          "`: must be 1 to 63 of a-z, 0-9 and `-`, begin with a letter and not end with `-`"));
}

}  // namespace crossover::list
