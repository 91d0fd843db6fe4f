#include "services/evaluation/domain/results.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "common/stats/paired.h"
#include "common/stats/percentile.h"
#include "common/stats/proportion.h"

namespace crossover::evaluation {
namespace {

// Scores with the clusters they belong to.
struct Column {
  std::vector<double> values;
  std::vector<std::string> clusters;

  void Add(double value, const std::string& cluster) {
    values.push_back(value);
    clusters.push_back(cluster);
  }
  stats::Interval Score() const { return stats::MeanScore(values, clusters); }
};

std::vector<NamedScore> WorstFirst(const std::map<std::string, Column>& columns) {
  std::vector<NamedScore> scores;
  for (const auto& [name, column] : columns) scores.push_back({name, column.Score()});
  std::stable_sort(scores.begin(), scores.end(), [](const NamedScore& a, const NamedScore& b) {
    return a.score.point < b.score.point;
  });
  return scores;
}

GraderResult ComputeGrader(const GraderSpec& spec, size_t index, const ScoredSystem& scored) {
  GraderResult result{.grader = spec.name};
  Column all, passed;
  std::map<std::string, Column> slices, fields;
  for (const ScoredRow& row : scored.rows) {
    double score = row.MeanScore(index);
    all.Add(score, row.row.cluster);
    double pass_share = row.PassShare(index, spec.pass_score);
    passed.Add(pass_share, row.row.cluster);
    result.passed += pass_share > 0.5;
    for (const std::string& slice : row.slices) slices[slice].Add(score, row.row.cluster);
    std::map<std::string, double> sums;
    for (const ScoredAnswer& answer : row.answers) {
      for (const auto& [field, value] : answer.grades[index].fields) sums[field] += value;
    }
    for (const auto& [field, sum] : sums)
      fields[field].Add(sum / static_cast<double>(row.answers.size()), row.row.cluster);
  }
  result.score = all.Score();
  result.accuracy = passed.Score();
  result.rows = static_cast<int64_t>(scored.rows.size());
  result.passed_share = stats::Wilson(result.passed, result.rows);
  result.slices = WorstFirst(slices);
  result.fields = WorstFirst(fields);
  return result;
}

void ComputeTimes(const ScoredSystem& scored, SystemResult& result) {
  std::vector<double> latencies, first_tokens;
  std::vector<std::string> rows;
  for (const ScoredRow& row : scored.rows) {
    for (const ScoredAnswer& scored_answer : row.answers) {
      const Answer& answer = scored_answer.answer;
      if (answer.cached || !answer.error.empty()) continue;
      latencies.push_back(answer.latency_seconds);
      rows.push_back(row.row.row_digest);
      if (answer.first_token_seconds > 0) first_tokens.push_back(answer.first_token_seconds);
    }
  }
  result.latency = {.p50 = stats::Percentile(latencies, 0.50),
                    .p90 = stats::Percentile(latencies, 0.90),
                    .p99 = stats::Percentile(latencies, 0.99),
                    .ttft_p50 = stats::Percentile(first_tokens, 0.50),
                    .mean = stats::MeanInterval(latencies, rows)};
}

void ComputeUse(const ScoredSystem& scored, SystemResult& result) {
  std::vector<double> costs;
  std::vector<std::string> rows;
  int64_t answered = 0;
  for (const ScoredRow& row : scored.rows) {
    for (const ScoredAnswer& scored_answer : row.answers) {
      const Answer& answer = scored_answer.answer;
      ++result.answers;
      result.cached_answers += answer.cached;
      if (!answer.error.empty()) {
        ++result.errors[answer.error];
        continue;
      }
      ++answered;
      result.usage += answer.usage;
      if (!answer.cost_known) continue;
      result.cost += answer.cost;
      costs.push_back(answer.cost);
      rows.push_back(row.row.row_digest);
    }
  }
  if (answered > 0)
    result.prompt_tokens = static_cast<double>(result.usage.input) / static_cast<double>(answered);
  if (!costs.empty()) result.cost_per_request = stats::MeanInterval(costs, rows);
}

void ComputeFormat(const ScoredSystem& scored, SystemResult& result) {
  Column raw, unfenced;
  for (const ScoredRow& row : scored.rows) {
    double raw_valid = 0, unfenced_valid = 0;
    bool judged = false;
    for (const ScoredAnswer& answer : row.answers) {
      judged |= answer.raw_valid.has_value();
      raw_valid += answer.raw_valid.value_or(false);
      unfenced_valid += answer.unfenced_valid.value_or(false);
    }
    if (!judged) continue;
    raw.Add(raw_valid / static_cast<double>(row.answers.size()), row.row.cluster);
    unfenced.Add(unfenced_valid / static_cast<double>(row.answers.size()), row.row.cluster);
  }
  if (raw.values.empty()) return;
  result.format_valid = raw.Score();
  result.format_valid_unfenced = unfenced.Score();
}

}  // namespace

bool AllEqual(const ScoredRow& row) {
  auto text = [](const ScoredAnswer& answer) {
    return absl::StripAsciiWhitespace(answer.answer.output);
  };
  return std::all_of(row.answers.begin(), row.answers.end(), [&](const ScoredAnswer& answer) {
    return answer.answer.error.empty() && text(answer) == text(row.answers.front());
  });
}

SystemResult ComputeResult(const Suite& suite, const ScoredSystem& scored) {
  SystemResult result{.system_digest = scored.system.digest, .display_name = Title(scored.system)};
  for (size_t i = 0; i < suite.graders.size(); ++i)
    result.graders.push_back(ComputeGrader(suite.graders[i], i, scored));
  Column consistent, all_right;
  for (const ScoredRow& row : scored.rows) {
    consistent.Add(AllEqual(row) ? 1 : 0, row.row.cluster);
    all_right.Add(row.PassShare(0, suite.graders[0].pass_score) == 1 ? 1 : 0, row.row.cluster);
  }
  result.consistency = consistent.Score();
  result.pass_all = all_right.Score();
  ComputeFormat(scored, result);
  ComputeTimes(scored, result);
  ComputeUse(scored, result);
  return result;
}

}  // namespace crossover::evaluation
