#include "services/data_curation/domain/report.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/row_key.h"

namespace crossover::curation {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxLabels = 100;
constexpr size_t kMaxExamples = 5;

// Values of the answers, or of the top-level fields of JSON answers, as long as there are few of
// each.
class LabelCounts {
 public:
  void Add(const std::string& answer, const std::string& split) {
    const Json value = Json::parse(answer, nullptr, false);
    if (!value.is_object()) {
      Count("", answer, split);
      return;
    }
    for (const auto& [field, label] : value.items()) {
      if (label.is_primitive())
        Count(field, label.is_string() ? label.get<std::string>() : label.dump(), split);
    }
  }

  std::vector<LabelCount> Counts() const {
    std::vector<LabelCount> counts;
    for (const auto& [field, labels] : fields_) {
      if (labels.size() > kMaxLabels) continue;
      for (const auto& [label, rows] : labels) counts.push_back({field, label, rows});
    }
    return counts;
  }

 private:
  void Count(const std::string& field, const std::string& label, const std::string& split) {
    std::map<std::string, std::map<std::string, int64_t>>& labels = fields_[field];
    // One more than allowed is kept, which marks the field as free text.
    if (labels.size() > kMaxLabels && !labels.contains(label)) return;
    ++labels[label][split];
  }

  std::map<std::string, std::map<std::string, std::map<std::string, int64_t>>> fields_;
};

std::string Explain(const std::string& code, int64_t rows) {
  const std::string n = absl::StrCat(rows, rows == 1 ? " row" : " rows");
  if (code == "duplicate") return n + " repeated another row exactly and left";
  if (code == "near_duplicate")
    return n + " nearly repeated another row with the same answer and left";
  if (code == "label_conflict")
    return n + " had the same input as another row and a different answer";
  if (code == "similar_input_other_answer")
    return n + " have nearly the input of another row and a different answer: look at them";
  if (code == "row_invalid") return n + " could not be read: the problems of their file say why";
  if (code.rfind("leaks_into_", 0) == 0)
    return n + " would have leaked into " + code.substr(11) + " and left";
  return n + ": " + code;
}

void AddExamples(const RowTable& rows, const RowStates& states, Finding& finding) {
  const std::string reason = finding.stage + "/" + finding.code;
  for (int64_t i = 0; i < rows.size() && finding.examples.size() < kMaxExamples; ++i) {
    const bool dropped = states[i].drop_reason == reason;
    const bool flagged =
        std::any_of(states[i].flags.begin(), states[i].flags.end(), [&finding](const Flag& flag) {
          return flag.stage == finding.stage && flag.code == finding.code;
        });
    if (dropped || flagged) finding.examples.push_back(ToDigest(rows.RowDigest(i)));
  }
}

std::vector<Finding> FindingsOf(const RowTable& rows, const RowStates& states,
                                const std::vector<FunnelStep>& funnel) {
  std::vector<Finding> findings;
  for (const FunnelStep& step : funnel) {
    for (const auto& [code, count] : step.dropped) {
      const bool mild = code == "duplicate" || code == "near_duplicate";
      findings.push_back(
          {mild ? "info" : "warning", step.stage, code, Explain(code, count), count, {}});
    }
    for (const auto& [code, count] : step.flagged) {
      if (step.dropped.contains(code)) continue;
      findings.push_back({"warning", step.stage, code, Explain(code, count), count, {}});
    }
  }
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
    return a.severity != b.severity && a.severity == "warning";
  });
  for (Finding& finding : findings) AddExamples(rows, states, finding);
  return findings;
}

// mission.md's gate: below 200 rows a decision has to wait, below 1,000 it goes with a warning.
void WarnIfFew(const std::vector<SplitCounts>& counts, std::vector<Finding>& findings) {
  for (const SplitCounts& split : counts) {
    if (split.split != dataset::kTrain || split.rows >= 1000) continue;
    findings.insert(
        findings.begin(),
        {"warning",
         "split",
         "few_rows",
         absl::StrCat(split.rows,
                      " training rows: under 200 are too few for a decision, 1,000 are safe"),
         split.rows,
         {}});
  }
}

}  // namespace

absl::StatusOr<Report> BuildReport(const RowTable& rows, const RowStates& states,
                                   std::vector<FunnelStep> funnel,
                                   std::vector<SplitCounts> counts) {
  Report report{.funnel = std::move(funnel), .counts = std::move(counts)};
  LabelCounts labels;
  for (int64_t i = 0; i < rows.size(); ++i) {
    if (!states[i].kept()) continue;
    ASSIGN_OR_RETURN(const dataset::Row row, rows.Get(i));
    labels.Add(dataset::AnswerText(row), states[i].split);
  }
  report.label_counts = labels.Counts();
  report.findings = FindingsOf(rows, states, report.funnel);
  WarnIfFew(report.counts, report.findings);
  return report;
}

std::string ReportToJson(const Report& report) {
  Json value = {{"format", "crossover.dataset_report.v1"},
                {"funnel", Json::array()},
                {"counts", Json::array()},
                {"findings", Json::array()},
                {"label_counts", Json::array()}};
  for (const FunnelStep& step : report.funnel) {
    Json item = Json::parse(FunnelStepToJson(step));
    item.erase("seconds");  // a report is hashed: equal data give equal reports
    item.erase("cached");
    value["funnel"].push_back(std::move(item));
  }
  for (const SplitCounts& count : report.counts) {
    value["counts"].push_back({{"split", count.split},
                               {"rows", count.rows},
                               {"clusters", count.clusters},
                               {"characters", count.characters}});
  }
  for (const Finding& finding : report.findings) {
    value["findings"].push_back({{"severity", finding.severity},
                                 {"stage", finding.stage},
                                 {"code", finding.code},
                                 {"message", finding.message},
                                 {"rows", finding.rows},
                                 {"examples", finding.examples}});
  }
  for (const LabelCount& count : report.label_counts) {
    value["label_counts"].push_back(
        {{"field", count.field}, {"label", count.label}, {"rows", count.rows}});
  }
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<Report> ReportFromJson(std::string_view json) {
  try {
    const Json value = Json::parse(json);
    Report report;
    for (const Json& item : value.at("funnel")) {
      ASSIGN_OR_RETURN(FunnelStep step, FunnelStepFromJson(item.dump()));
      report.funnel.push_back(std::move(step));
    }
    for (const Json& item : value.at("counts")) {
      report.counts.push_back(
          {item.at("split"), item.at("rows"), item.at("clusters"), item.at("characters")});
    }
    for (const Json& item : value.at("findings")) {
      report.findings.push_back({item.at("severity"), item.at("stage"), item.at("code"),
                                 item.at("message"), item.at("rows"),
                                 item.at("examples").get<std::vector<std::string>>()});
    }
    for (const Json& item : value.at("label_counts")) {
      report.label_counts.push_back({item.at("field"), item.at("label"),
                                     item.at("rows").get<std::map<std::string, int64_t>>()});
    }
    return report;
  } catch (const Json::exception& e) {
    return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                 absl::StrCat("data set report: ", e.what()));
  }
}

}  // namespace crossover::curation
