#include "services/evaluation/domain/five_questions.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/evaluation/domain/evidence_builder.h"

namespace crossover::evaluation {
namespace {

std::string PromptsFallShort(const CaseFile& file) {
  if (!file.ladder || file.ladder->best < 0) return "None: the ladder has not been measured.";
  const auto& best = file.ladder->rungs[file.ladder->best];
  std::string answer = absl::StrCat("The best prompt (", best.name, ") scores ",
                                    Percent(best.score), " on ", best.score.n, " rows");
  if (file.prompt.target_score) {
    absl::StrAppend(&answer, "; the target is ", Percent(file.prompt.target_score->value),
                    file.prompt.target_score->value > best.score.upper ? ", above its interval."
                                                                       : ", within its interval.");
  } else {
    absl::StrAppend(&answer, "; no target is declared.");
  }
  return answer;
}

std::string RungsTried(const CaseFile& file) {
  if (!file.ladder || file.ladder->rungs.empty()) return "None.";
  std::string answer;
  for (const auto& rung : file.ladder->rungs) {
    absl::StrAppend(&answer, answer.empty() ? "" : "; ", rung.name, " ", Percent(rung.score));
  }
  return answer + ".";
}

std::string CleanExamples(const CaseFile& file) {
  return file.data ? absl::StrCat(file.data->clean_rows.value, " rows.")
                   : "Unknown: no data set has been sealed.";
}

std::string WhoRetrains(const CaseFile& file) {
  if (!file.facts.owner || file.facts.owner->value.empty()) return "Nobody is named.";
  bool plan = file.facts.retraining_plan && !file.facts.retraining_plan->value.empty();
  return absl::StrCat(file.facts.owner->value, ": ",
                      plan ? file.facts.retraining_plan->value : "without a plan.");
}

std::string SavingInWords(const CaseFile& file, const Verdict& verdict) {
  if (!verdict.roi_known) return absl::StrCat("Unknown; missing: ", MissingForReturn(file), ".");
  const ReturnOnInvestment& roi = verdict.roi;
  std::string answer = absl::StrFormat("%.2f USD a month (from %.2f to %.2f)", roi.saving_per_month,
                                       roi.monthly_before, roi.monthly_after);
  if (file.facts.requests_per_day && file.facts.requests_per_day->value > 0) {
    absl::StrAppendFormat(&answer, ", %.6f USD a call",
                          roi.saving_per_month / (file.facts.requests_per_day->value * 30));
  }
  absl::StrAppendFormat(&answer, ", against %.2f USD once.", roi.one_time);
  for (const auto& [part, title] :
       {std::pair("prompt_serving", "Before"), std::pair("tuned_serving", "After")}) {
    const auto origin = file.costs->origins.find(part);
    if (origin == file.costs->origins.end()) continue;
    absl::StrAppend(&answer, " ", title, " is ", origin->second.value, ".");
  }
  return answer;
}

}  // namespace

std::vector<Answer5> FiveQuestions(const CaseFile& file, const Verdict& verdict) {
  std::vector<std::string> ladder = file.ladder ? file.ladder->inputs : std::vector<std::string>();
  std::vector<std::string> data = file.data ? file.data->inputs : std::vector<std::string>();
  return {{"What evaluation says prompts can't get there?", PromptsFallShort(file), ladder},
          {"Which rungs were tried?", RungsTried(file), ladder},
          {"How many clean examples?", CleanExamples(file), data},
          {"Who retrains when the base changes?", WhoRetrains(file), {file.task}},
          {"What is the saving per call and per month against a better prompt on the plain model?",
           SavingInWords(file, verdict),
           {file.task}}};
}

}  // namespace crossover::evaluation
