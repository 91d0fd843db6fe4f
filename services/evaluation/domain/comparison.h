// Two systems over the same rows, paired.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/stats/interval.h"
#include "common/stats/mcnemar.h"
#include "services/evaluation/domain/evidence.h"
#include "services/evaluation/domain/run.h"
#include "services/evaluation/domain/scored_rows.h"
#include "services/evaluation/domain/suite.h"

namespace crossover::evaluation {

// The counts are of rows; the p-values are of clusters, each counted once for the side it falls on
// (stats::ClusterSignTest), which is McNemar's exact test where every row stands alone.
struct ComparedMcNemar {
  int64_t both = 0;
  int64_t neither = 0;
  stats::McNemar test;  // b = only the baseline right, c = only the candidate
};

// One line of the comparison table.
struct ComparedMetric {
  std::string metric;
  stats::Interval baseline;
  stats::Interval candidate;
  stats::Interval difference;  // candidate - baseline, paired
  std::optional<ComparedMcNemar> mcnemar;
  std::optional<double> p_value;           // of the test the adjustment takes
  std::optional<double> adjusted_p_value;  // Holm over all metrics that have one
  bool significant = false;
  bool higher_is_better = true;
  EvidenceSource source = EvidenceSource::kMeasured;
  std::string explanation;  // what was declared, in words
};

struct Flip {
  std::string row_digest;
  std::string input;  // first 500 characters of the last user message
  std::string expected;
  std::string baseline_output;
  std::string candidate_output;
  double baseline_score = 0;
  double candidate_score = 0;
};

struct Comparison {
  std::string id;
  std::string project;
  std::vector<std::string> runs;
  std::string suite_version;
  std::string baseline;
  std::string candidate;
  std::vector<ComparedMetric> metrics;  // graders first, the deciding one before all
  stats::Interval flip_rate;
  std::vector<Flip> flips;        // newly right, at most 100
  std::vector<Flip> regressions;  // newly wrong, at most 100
  absl::Time create_time;
};

struct CompareOptions {
  double level = 0.95;
  // Requests a month as declared; absent: no cost_per_month line.
  std::optional<double> requests_per_month;
  std::string cost_explanation;  // of both systems' prices
};

// Metrics: every grader; accuracy (rows the deciding one passes, unless a grader has that name);
// format_valid; consistency (from 2 repeats
// on); prompt_tokens; latency_p50; cost_per_request; cost_per_month: with them the six rows of the
// comparison table. FailedPrecondition RUNS_NOT_COMPARABLE if no row was answered by both.
absl::StatusOr<Comparison> Compare(const Suite& suite, const ScoredSystem& baseline,
                                   const ScoredSystem& candidate,
                                   const CompareOptions& options = {});

}  // namespace crossover::evaluation
