// JSON validity and comparison field by field.
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "services/evaluation/domain/graders.h"

namespace crossover::evaluation {
namespace {

nlohmann::json Parse(const std::string& text) {
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

class JsonValidGrader final : public Grader {
 public:
  using Grader::Grader;

  Grade Score(const std::string&, const std::string& answer) const override {
    bool raw = !Parse(answer).is_discarded();
    bool unfenced = raw || !Parse(Unfenced(answer)).is_discarded();
    return {.score = raw ? 1.0 : 0.0,
            .fields = {{"raw", raw ? 1.0 : 0.0}, {"unfenced", unfenced ? 1.0 : 0.0}},
            .note = raw        ? ""
                    : unfenced ? "JSON only inside a code fence"
                               : "not JSON"};
  }
};

class JsonFieldsGrader final : public Grader {
 public:
  using Grader::Grader;

  Grade Score(const std::string& expected, const std::string& answer) const override {
    nlohmann::json wanted = Parse(Unfenced(expected));
    if (!wanted.is_object()) return {.note = "the expected answer is not a JSON object"};
    nlohmann::json given = Parse(spec().raw_only ? answer : Unfenced(answer));
    Grade grade;
    int right = 0;
    std::vector<std::string> fields = FieldsOf(wanted);
    for (const std::string& field : fields) {
      bool equal = given.is_object() && given.contains(field) && wanted.contains(field) &&
                   given[field] == wanted[field];
      // A field that both leave out is agreed upon.
      equal |= given.is_object() && !given.contains(field) && !wanted.contains(field);
      grade.fields[field] = equal ? 1 : 0;
      right += equal;
      if (!equal) absl::StrAppend(&grade.note, grade.note.empty() ? "wrong: " : ", ", field);
    }
    if (!given.is_object()) grade.note = "not a JSON object";
    double share =
        fields.empty() ? 1 : static_cast<double>(right) / static_cast<double>(fields.size());
    if (!given.is_object()) share = 0;
    grade.score = spec().all ? (share == 1 ? 1 : 0) : share;
    return grade;
  }

 private:
  std::vector<std::string> FieldsOf(const nlohmann::json& wanted) const {
    if (!spec().fields.empty()) return spec().fields;
    std::vector<std::string> fields;
    for (const auto& [key, value] : wanted.items()) fields.push_back(key);
    return fields;
  }
};

}  // namespace

std::string Unfenced(const std::string& answer) {
  std::string text(absl::StripAsciiWhitespace(answer));
  if (!absl::StartsWith(text, "```") || !absl::EndsWith(text, "```") || text.size() < 6)
    return text;
  size_t line = text.find('\n');
  if (line == std::string::npos || line + 3 > text.size()) return text;
  return std::string(absl::StripAsciiWhitespace(text.substr(line + 1, text.size() - line - 4)));
}

absl::StatusOr<std::unique_ptr<Grader>> MakeJsonGrader(const GraderSpec& spec) {
  if (spec.kind == GraderKind::kJsonValid) return std::make_unique<JsonValidGrader>(spec);
  return std::make_unique<JsonFieldsGrader>(spec);
}

}  // namespace crossover::evaluation
