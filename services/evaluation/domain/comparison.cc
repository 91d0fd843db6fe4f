#include "services/evaluation/domain/comparison.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>
#include <span>
#include <unordered_map>

#include "absl/strings/str_format.h"
#include "common/dataset/row_json.h"
#include "common/stats/bootstrap.h"
#include "common/stats/multiple.h"
#include "common/stats/paired.h"
#include "common/stats/percentile.h"
#include "common/stats/special.h"
#include "common/status/error.h"
#include "services/evaluation/domain/results.h"

namespace crossover::evaluation {
namespace {

constexpr char kAccuracy[] = "accuracy";
constexpr size_t kMaxFlips = 100;
constexpr size_t kInputCharacters = 500;

struct Pair {
  const ScoredRow* baseline;
  const ScoredRow* candidate;
};

// A number of a row, absent where the row has none.
using Measure = std::function<std::optional<double>(const ScoredRow&)>;

struct Columns {
  std::vector<double> baseline, candidate;
  std::vector<std::string> clusters;
};

Columns Collect(const std::vector<Pair>& pairs, const Measure& measure) {
  Columns columns;
  for (const Pair& pair : pairs) {
    std::optional<double> baseline = measure(*pair.baseline);
    std::optional<double> candidate = measure(*pair.candidate);
    if (!baseline || !candidate) continue;
    columns.baseline.push_back(*baseline);
    columns.candidate.push_back(*candidate);
    columns.clusters.push_back(pair.baseline->row.cluster);
  }
  return columns;
}

std::vector<double> Differences(const Columns& columns) {
  std::vector<double> differences(columns.baseline.size());
  std::transform(columns.candidate.begin(), columns.candidate.end(), columns.baseline.begin(),
                 differences.begin(), std::minus<>());
  return differences;
}

// Two-sided t test of a mean difference with its clustered error, as its interval is made. Where
// every cluster differs by the same amount there is no error to divide by: the sign test over
// clusters says what so many equal signs are worth, which is never certainty.
std::optional<double> PairedPValue(const std::vector<double>& differences,
                                   const std::vector<std::string>& clusters) {
  size_t groups = std::set<std::string>(clusters.begin(), clusters.end()).size();
  if (groups < 2) return std::nullopt;
  double error = stats::ClusteredStandardError(differences, clusters);
  if (error < 1e-12) return stats::ClusterSignTest(differences, clusters).exact_p;
  double mean = std::accumulate(differences.begin(), differences.end(), 0.0) /
                static_cast<double>(differences.size());
  return stats::StudentTwoSidedP(mean / error, static_cast<double>(groups - 1));
}

bool IsBinary(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](double value) { return value == 0 || value == 1; });
}

ComparedMcNemar CountPairs(const Columns& columns) {
  ComparedMcNemar counts;
  int64_t only_baseline = 0, only_candidate = 0;
  for (size_t i = 0; i < columns.baseline.size(); ++i) {
    bool baseline = columns.baseline[i] == 1, candidate = columns.candidate[i] == 1;
    counts.both += baseline && candidate;
    counts.neither += !baseline && !candidate;
    only_baseline += baseline && !candidate;
    only_candidate += candidate && !baseline;
  }
  counts.test = stats::McNemarTest(only_baseline, only_candidate);
  stats::McNemar by_cluster = stats::ClusterSignTest(Differences(columns), columns.clusters);
  counts.test.exact_p = by_cluster.exact_p;
  counts.test.mid_p = by_cluster.mid_p;
  return counts;
}

// A share or score in [0,1] where more is better.
ComparedMetric ScoreMetric(const std::string& name, const Columns& columns, double level) {
  ComparedMetric metric{.metric = name};
  metric.baseline = stats::MeanScore(columns.baseline, columns.clusters, level);
  metric.candidate = stats::MeanScore(columns.candidate, columns.clusters, level);
  metric.difference =
      stats::PairedDifference(columns.candidate, columns.baseline, columns.clusters, level);
  if (IsBinary(columns.baseline) && IsBinary(columns.candidate)) {
    metric.mcnemar = CountPairs(columns);
    metric.p_value = metric.mcnemar->test.exact_p;
  } else {
    metric.p_value = PairedPValue(Differences(columns), columns.clusters);
  }
  return metric;
}

// An amount where less is better.
ComparedMetric AmountMetric(const std::string& name, const Columns& columns, double level,
                            double scale = 1) {
  Columns scaled = columns;
  for (auto* column : {&scaled.baseline, &scaled.candidate}) {
    for (double& value : *column) value *= scale;
  }
  ComparedMetric metric{.metric = name, .higher_is_better = false};
  metric.baseline = stats::MeanInterval(scaled.baseline, scaled.clusters, level);
  metric.candidate = stats::MeanInterval(scaled.candidate, scaled.clusters, level);
  metric.difference = stats::MeanInterval(Differences(scaled), scaled.clusters, level);
  metric.p_value = PairedPValue(Differences(scaled), scaled.clusters);
  return metric;
}

std::vector<std::vector<size_t>> RowsByCluster(const std::vector<std::string>& clusters) {
  std::vector<std::vector<size_t>> rows;
  std::unordered_map<std::string, size_t> place;
  for (size_t i = 0; i < clusters.size(); ++i) {
    size_t at = place.try_emplace(clusters[i], rows.size()).first->second;
    if (at == rows.size()) rows.emplace_back();
    rows[at].push_back(i);
  }
  return rows;
}

double MedianOf(const std::vector<double>& values, const std::vector<std::vector<size_t>>& clusters,
                std::span<const uint32_t> units) {
  std::vector<double> drawn;
  drawn.reserve(values.size());
  for (uint32_t unit : units) {
    for (size_t row : clusters[unit]) drawn.push_back(values[row]);
  }
  auto middle = drawn.begin() + static_cast<std::ptrdiff_t>((drawn.size() - 1) / 2);
  std::nth_element(drawn.begin(), middle, drawn.end());
  return *middle;
}

// Medians, with the difference of medians resampled jointly, whole clusters at a time.
ComparedMetric MedianMetric(const std::string& name, const Columns& columns, double level) {
  ComparedMetric metric{.metric = name, .higher_is_better = false};
  metric.baseline = stats::Percentile(columns.baseline, 0.5, level);
  metric.candidate = stats::Percentile(columns.candidate, 0.5, level);
  std::vector<std::vector<size_t>> clusters = RowsByCluster(columns.clusters);
  metric.difference = stats::Bootstrap(static_cast<uint32_t>(clusters.size()),
                                       [&](std::span<const uint32_t> units) {
                                         return MedianOf(columns.candidate, clusters, units) -
                                                MedianOf(columns.baseline, clusters, units);
                                       },
                                       {.resamples = 2000, .level = level});
  metric.difference.n = static_cast<int64_t>(columns.baseline.size());
  return metric;
}

// Mean over the row's answers that have a value.
Measure MeanOver(std::function<std::optional<double>(const ScoredAnswer&)> value_of) {
  return [value_of = std::move(value_of)](const ScoredRow& row) -> std::optional<double> {
    double sum = 0;
    int count = 0;
    for (const ScoredAnswer& answer : row.answers) {
      if (std::optional<double> value = value_of(answer)) {
        sum += *value;
        ++count;
      }
    }
    if (count == 0) return std::nullopt;
    return sum / count;
  };
}

std::optional<double> PromptTokens(const ScoredAnswer& answer) {
  if (!answer.answer.error.empty()) return std::nullopt;
  return static_cast<double>(answer.answer.usage.input);
}
std::optional<double> LatencyOf(const ScoredAnswer& answer) {
  if (!answer.answer.error.empty() || answer.answer.cached) return std::nullopt;
  return answer.answer.latency_seconds;
}
std::optional<double> CostOfAnswer(const ScoredAnswer& answer) {
  if (!answer.answer.error.empty() || !answer.answer.cost_known) return std::nullopt;
  return answer.answer.cost;
}
std::optional<double> FormatOf(const ScoredAnswer& answer) {
  if (!answer.raw_valid) return std::nullopt;
  return *answer.raw_valid ? 1.0 : 0.0;
}

// The line of the six-row table. A grader that people call accuracy is that line already.
void AddAccuracy(const Suite& suite, const std::vector<Pair>& pairs, double level,
                 std::vector<ComparedMetric>& out) {
  if (std::any_of(suite.graders.begin(), suite.graders.end(),
                  [](const GraderSpec& grader) { return grader.name == kAccuracy; }))
    return;
  double pass_score = suite.graders[0].pass_score;
  out.push_back(ScoreMetric(kAccuracy,
                            Collect(pairs,
                                    [=](const ScoredRow& row) -> std::optional<double> {
                                      return row.PassShare(0, pass_score);
                                    }),
                            level));
}

void AddQualityMetrics(const Suite& suite, const std::vector<Pair>& pairs, double level,
                       std::vector<ComparedMetric>& out) {
  for (size_t i = 0; i < suite.graders.size(); ++i) {
    out.push_back(ScoreMetric(
        suite.graders[i].name,
        Collect(pairs,
                [i](const ScoredRow& row) -> std::optional<double> { return row.MeanScore(i); }),
        level));
  }
  AddAccuracy(suite, pairs, level, out);
  Columns format = Collect(pairs, MeanOver(FormatOf));
  if (!format.baseline.empty()) out.push_back(ScoreMetric("format_valid", format, level));
  Columns consistency = Collect(pairs, [](const ScoredRow& row) -> std::optional<double> {
    if (row.answers.size() < 2) return std::nullopt;
    return AllEqual(row) ? 1.0 : 0.0;
  });
  if (!consistency.baseline.empty()) out.push_back(ScoreMetric("consistency", consistency, level));
}

void AddAmountMetrics(const std::vector<Pair>& pairs, const CompareOptions& options,
                      std::vector<ComparedMetric>& out) {
  Columns tokens = Collect(pairs, MeanOver(PromptTokens));
  if (!tokens.baseline.empty()) out.push_back(AmountMetric("prompt_tokens", tokens, options.level));
  Columns latency = Collect(pairs, MeanOver(LatencyOf));
  if (!latency.baseline.empty()) out.push_back(MedianMetric("latency_p50", latency, options.level));
  Columns cost = Collect(pairs, MeanOver(CostOfAnswer));
  if (cost.baseline.empty()) return;
  out.push_back(AmountMetric("cost_per_request", cost, options.level));
  out.back().source = EvidenceSource::kDeclared;
  out.back().explanation = options.cost_explanation;
  if (!options.requests_per_month) return;
  out.push_back(AmountMetric("cost_per_month", cost, options.level, *options.requests_per_month));
  out.back().source = EvidenceSource::kDeclared;
  out.back().explanation = absl::StrFormat("%s, times %g declared requests a month",
                                           options.cost_explanation, *options.requests_per_month);
}

// A line that asks what another has asked: no second place in the adjustment, the same answer.
const ComparedMetric* SameQuestion(const ComparedMetric& metric,
                                   const std::vector<ComparedMetric>& before) {
  for (const ComparedMetric& other : before) {
    if (&other == &metric) return nullptr;
    if (metric.metric == "cost_per_month" && other.metric == "cost_per_request") return &other;
    if (metric.metric == kAccuracy && other.baseline == metric.baseline &&
        other.candidate == metric.candidate && other.difference == metric.difference) {
      return &other;
    }
  }
  return nullptr;
}

void AdjustForAll(double level, std::vector<ComparedMetric>& metrics) {
  std::vector<double> p_values;
  for (ComparedMetric& metric : metrics) {
    if (SameQuestion(metric, metrics) != nullptr) metric.p_value.reset();
    if (metric.p_value) p_values.push_back(*metric.p_value);
  }
  std::vector<double> adjusted = stats::HolmAdjusted(p_values);
  size_t next = 0;
  for (ComparedMetric& metric : metrics) {
    if (metric.p_value) {
      metric.adjusted_p_value = adjusted[next++];
      metric.significant = *metric.adjusted_p_value < 1 - level;
    } else if (const ComparedMetric* same = SameQuestion(metric, metrics)) {
      metric.adjusted_p_value = same->adjusted_p_value;
      metric.significant = same->significant;
    } else {
      metric.significant = stats::ExcludesZero(metric.difference);
    }
  }
}

std::string InputOf(const SuiteRow& row) {
  auto messages = dataset::ParseMessages(row.messages, "messages");
  std::string text = messages.ok() ? dataset::LastUserText(*messages) : "";
  if (text.size() <= kInputCharacters) return text;
  size_t end = kInputCharacters;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;  // not inside a character
  return text.substr(0, end);
}

Flip MakeFlip(const Pair& pair) {
  return {.row_digest = pair.baseline->row.row_digest,
          .input = InputOf(pair.baseline->row),
          .expected = pair.baseline->row.expected,
          .baseline_output = pair.baseline->answers.front().answer.output,
          .candidate_output = pair.candidate->answers.front().answer.output,
          .baseline_score = pair.baseline->MeanScore(0),
          .candidate_score = pair.candidate->MeanScore(0)};
}

// A row is right when more than half of its answers are.
void AddAnswerFlips(const std::vector<Pair>& pairs, double pass_score, double level,
                    Comparison& comparison) {
  std::vector<double> flipped;
  std::vector<std::string> clusters;
  for (const Pair& pair : pairs) {
    bool baseline = pair.baseline->PassShare(0, pass_score) > 0.5;
    bool candidate = pair.candidate->PassShare(0, pass_score) > 0.5;
    flipped.push_back(baseline != candidate);
    clusters.push_back(pair.baseline->row.cluster);
    auto& list = candidate ? comparison.flips : comparison.regressions;
    if (baseline != candidate && list.size() < kMaxFlips) list.push_back(MakeFlip(pair));
  }
  comparison.flip_rate = stats::MeanScore(flipped, clusters, level);
}

}  // namespace

absl::StatusOr<Comparison> Compare(const Suite& suite, const ScoredSystem& baseline,
                                   const ScoredSystem& candidate, const CompareOptions& options) {
  std::unordered_map<std::string, const ScoredRow*> rows;
  for (const ScoredRow& row : candidate.rows) rows[row.row.row_digest] = &row;
  std::vector<Pair> pairs;
  for (const ScoredRow& row : baseline.rows) {
    auto found = rows.find(row.row.row_digest);
    if (found != rows.end()) pairs.push_back({&row, found->second});
  }
  if (pairs.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "RUNS_NOT_COMPARABLE",
                 "no row was answered by both systems: compare systems of one suite version after "
                 "their runs have answers");
  }
  Comparison comparison{.suite_version = suite.name,
                        .baseline = baseline.system.digest,
                        .candidate = candidate.system.digest};
  AddQualityMetrics(suite, pairs, options.level, comparison.metrics);
  AddAmountMetrics(pairs, options, comparison.metrics);
  AdjustForAll(options.level, comparison.metrics);
  AddAnswerFlips(pairs, suite.graders[0].pass_score, options.level, comparison);
  return comparison;
}

}  // namespace crossover::evaluation
