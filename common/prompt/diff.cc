#include "common/prompt/diff.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/dataset/row_json.h"
#include "common/status/absl_view.h"

namespace crossover::prompt {
namespace {

using Json = nlohmann::json;

// A quadratic table of more than this many cells is not worth its memory: such texts are shown as
// replaced.
constexpr size_t kMaxCells = 4'000'000;

std::vector<std::string> Lines(std::string_view text) {
  if (text.empty()) return {};
  return absl::StrSplit(ToAbsl(text), '\n');
}

std::string Replaced(const std::vector<std::string>& before,
                     const std::vector<std::string>& after) {
  std::string out;
  for (const std::string& line : before) absl::StrAppend(&out, "-", line, "\n");
  for (const std::string& line : after) absl::StrAppend(&out, "+", line, "\n");
  return out;
}

std::string Show(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void Compare(const Json* before, const Json* after, const std::string& field,
             std::vector<Change>& changes);

void CompareObjects(const Json& before, const Json& after, const std::string& field,
                    std::vector<Change>& changes) {
  Json keys = before;
  keys.update(after);
  for (const auto& [key, value] : keys.items()) {
    const auto old_value = before.find(key);
    const auto new_value = after.find(key);
    Compare(old_value == before.end() ? nullptr : &*old_value,
            new_value == after.end() ? nullptr : &*new_value,
            field.empty() ? key : absl::StrCat(field, ".", key), changes);
  }
}

void CompareArrays(const Json& before, const Json& after, const std::string& field,
                   std::vector<Change>& changes) {
  for (size_t i = 0; i < std::max(before.size(), after.size()); ++i) {
    Compare(i < before.size() ? &before[i] : nullptr, i < after.size() ? &after[i] : nullptr,
            absl::StrCat(field, "[", i, "]"), changes);
  }
}

void Compare(const Json* before, const Json* after, const std::string& field,
             std::vector<Change>& changes) {
  if (before == nullptr) {
    changes.push_back({.field = field, .kind = Change::Kind::kAdded, .after = Show(*after)});
  } else if (after == nullptr) {
    changes.push_back({.field = field, .kind = Change::Kind::kRemoved, .before = Show(*before)});
  } else if (*before == *after) {
    return;
  } else if (before->is_object() && after->is_object()) {
    CompareObjects(*before, *after, field, changes);
  } else if (before->is_array() && after->is_array()) {
    CompareArrays(*before, *after, field, changes);
  } else {
    Change change{.field = field, .before = Show(*before), .after = Show(*after)};
    if (before->is_string() && after->is_string())
      change.lines = LineDiff(change.before, change.after);
    changes.push_back(std::move(change));
  }
}

}  // namespace

std::string LineDiff(std::string_view before_text, std::string_view after_text) {
  const std::vector<std::string> before = Lines(before_text);
  const std::vector<std::string> after = Lines(after_text);
  const size_t rows = before.size();
  const size_t columns = after.size();
  if ((rows + 1) * (columns + 1) > kMaxCells) return Replaced(before, after);
  // longest[i][j]: length of the longest common subsequence of before[i..] and after[j..].
  std::vector<std::vector<int>> longest(rows + 1, std::vector<int>(columns + 1, 0));
  for (size_t i = rows; i-- > 0;) {
    for (size_t j = columns; j-- > 0;) {
      longest[i][j] = before[i] == after[j] ? longest[i + 1][j + 1] + 1
                                            : std::max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  std::string out;
  size_t i = 0;
  size_t j = 0;
  while (i < rows || j < columns) {
    if (i < rows && j < columns && before[i] == after[j]) {
      absl::StrAppend(&out, " ", before[i], "\n");
      ++i, ++j;
    } else if (j == columns || (i < rows && longest[i + 1][j] >= longest[i][j + 1])) {
      absl::StrAppend(&out, "-", before[i++], "\n");
    } else {
      absl::StrAppend(&out, "+", after[j++], "\n");
    }
  }
  return out;
}

std::vector<Change> Diff(const PromptSpec& before, const PromptSpec& after) {
  const Json old_value = Json::parse(ToJson(before), nullptr, false);
  const Json new_value = Json::parse(ToJson(after), nullptr, false);
  std::vector<Change> changes;
  Compare(&old_value, &new_value, "", changes);
  return changes;
}

}  // namespace crossover::prompt
