#include "services/evaluation/domain/scored_rows.h"

#include <algorithm>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "common/status/status_macros.h"

namespace crossover::evaluation {
namespace {

bool IsJson(const std::string& text) {
  return !nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false).is_discarded();
}

// The format verdict comes from a schema grader, else from a JSON grader, else from whether the
// answer is JSON at all where a per-field grader needs it to be.
void JudgeFormat(const std::vector<std::unique_ptr<Grader>>& graders, ScoredAnswer& scored) {
  bool needs_json = false;
  bool by_schema = false;
  for (size_t i = 0; i < graders.size(); ++i) {
    GraderKind kind = graders[i]->spec().kind;
    needs_json |= kind == GraderKind::kJsonFields;
    if (kind != GraderKind::kJsonValid && kind != GraderKind::kJsonSchema) continue;
    if (by_schema || (scored.raw_valid && kind == GraderKind::kJsonValid)) continue;
    by_schema = kind == GraderKind::kJsonSchema;
    const auto& fields = scored.grades[i].fields;
    scored.raw_valid = fields.count("raw") && fields.at("raw") == 1;
    scored.unfenced_valid = fields.count("unfenced") && fields.at("unfenced") == 1;
  }
  if (scored.raw_valid || !needs_json) return;
  scored.raw_valid = IsJson(scored.answer.output);
  scored.unfenced_valid = *scored.raw_valid || IsJson(Unfenced(scored.answer.output));
}

}  // namespace

double ScoredRow::MeanScore(size_t grader) const {
  double sum = 0;
  for (const ScoredAnswer& answer : answers) sum += answer.grades[grader].score;
  return answers.empty() ? 0 : sum / static_cast<double>(answers.size());
}

double ScoredRow::PassShare(size_t grader, double pass_score) const {
  auto passed = std::count_if(answers.begin(), answers.end(), [&](const ScoredAnswer& answer) {
    return answer.grades[grader].score >= pass_score;
  });
  return answers.empty() ? 0 : static_cast<double>(passed) / static_cast<double>(answers.size());
}

absl::StatusOr<Scorer> Scorer::Create(const Suite& suite) {
  Scorer scorer;
  scorer.slices_ = suite.slices;
  for (const GraderSpec& spec : suite.graders) {
    ASSIGN_OR_RETURN(std::unique_ptr<Grader> grader, MakeGrader(spec));
    scorer.graders_.push_back(std::move(grader));
  }
  return scorer;
}

ScoredAnswer Scorer::Score(const SuiteRow& row, Answer answer) const {
  ScoredAnswer scored{.answer = std::move(answer)};
  for (const auto& grader : graders_) {
    // Fields of a failed answer are all wrong, so that per-field tables count it as well.
    scored.grades.push_back(
        grader->Score(row.expected, scored.answer.error.empty() ? scored.answer.output : ""));
    if (scored.answer.error.empty()) continue;
    scored.grades.back().score = 0;
    scored.grades.back().note = scored.answer.error;
  }
  JudgeFormat(graders_, scored);
  return scored;
}

ScoredSystem Scorer::Score(const System& system, const std::vector<SuiteRow>& rows,
                           const std::vector<Answer>& answers) const {
  std::unordered_map<std::string, std::vector<const Answer*>> by_row;
  for (const Answer& answer : answers) {
    if (answer.system_digest == system.digest) by_row[answer.row_digest].push_back(&answer);
  }
  ScoredSystem scored{.system = system};
  for (const SuiteRow& row : rows) {
    auto found = by_row.find(row.row_digest);
    if (found == by_row.end()) continue;
    std::sort(found->second.begin(), found->second.end(),
              [](const Answer* a, const Answer* b) { return a->repeat < b->repeat; });
    ScoredRow scored_row{.row = row, .slices = SlicesOf(slices_, row)};
    for (const Answer* answer : found->second) scored_row.answers.push_back(Score(row, *answer));
    scored.rows.push_back(std::move(scored_row));
  }
  return scored;
}

}  // namespace crossover::evaluation
