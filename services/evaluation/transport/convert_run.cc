#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/evaluation/transport/convert.h"
#include "services/evaluation/transport/convert_type.h"

namespace crossover::evaluation {
namespace {

using evaluation::ToProto;  // the overloads below would hide those of convert_type.h

pb::Latency ToProto(const Latency& latency) {
  pb::Latency out;
  *out.mutable_p50() = ToProto(latency.p50);
  *out.mutable_p90() = ToProto(latency.p90);
  *out.mutable_p99() = ToProto(latency.p99);
  *out.mutable_ttft_p50() = ToProto(latency.ttft_p50);
  *out.mutable_mean() = ToProto(latency.mean);
  return out;
}

template <typename Repeated>
void Fill(const std::vector<NamedScore>& scores, Repeated* out) {
  for (const NamedScore& score : scores) {
    auto* added = out->Add();
    added->set_name(score.name);
    *added->mutable_score() = ToProto(score.score);
  }
}

pb::SystemResult ToProto(const SystemResult& result) {
  pb::SystemResult out;
  out.set_system_digest(result.system_digest);
  out.set_display_name(result.display_name);
  for (const GraderResult& grader : result.graders) {
    pb::GraderResult* added = out.add_graders();
    added->set_grader(grader.grader);
    *added->mutable_score() = ToProto(grader.score);
    Fill(grader.slices, added->mutable_slices());
    Fill(grader.fields, added->mutable_fields());
    *added->mutable_accuracy() = ToProto(grader.accuracy);
    added->set_passed(grader.passed);
    added->set_rows(grader.rows);
    *added->mutable_passed_share() = ToProto(grader.passed_share);
  }
  *out.mutable_usage() = ToProto(result.usage);
  if (result.cost_per_request) {
    *out.mutable_cost() = MoneyToProto(result.cost);
    *out.mutable_cost_per_request() = ToProto(*result.cost_per_request);
    out.set_cost_source(type::v1::Evidence::DECLARED);
    out.set_cost_explanation(result.cost_explanation);
  }
  *out.mutable_latency() = ToProto(result.latency);
  *out.mutable_consistency() = ToProto(result.consistency);
  *out.mutable_pass_all() = ToProto(result.pass_all);
  if (result.format_valid) *out.mutable_format_valid() = ToProto(*result.format_valid);
  if (result.format_valid_unfenced)
    *out.mutable_format_valid_unfenced() = ToProto(*result.format_valid_unfenced);
  for (const auto& [reason, count] : result.errors) (*out.mutable_errors())[reason] = count;
  out.set_prompt_tokens(result.prompt_tokens);
  out.set_answers(result.answers);
  out.set_cached_answers(result.cached_answers);
  return out;
}

pb::Comparison::Flip ToProto(const Flip& flip) {
  pb::Comparison::Flip out;
  out.set_row_digest(flip.row_digest);
  out.set_input(flip.input);
  out.set_expected(flip.expected);
  out.set_baseline_output(flip.baseline_output);
  out.set_candidate_output(flip.candidate_output);
  out.set_baseline_score(flip.baseline_score);
  out.set_candidate_score(flip.candidate_score);
  return out;
}

pb::Comparison::Metric ToProto(const ComparedMetric& metric) {
  pb::Comparison::Metric out;
  out.set_metric(metric.metric);
  *out.mutable_baseline() = ToProto(metric.baseline);
  *out.mutable_candidate() = ToProto(metric.candidate);
  *out.mutable_difference() = ToProto(metric.difference);
  if (metric.mcnemar) {
    out.mutable_mcnemar()->set_only_baseline(metric.mcnemar->test.b);
    out.mutable_mcnemar()->set_only_candidate(metric.mcnemar->test.c);
    out.mutable_mcnemar()->set_both(metric.mcnemar->both);
    out.mutable_mcnemar()->set_neither(metric.mcnemar->neither);
    out.mutable_mcnemar()->set_p_value(metric.mcnemar->test.exact_p);
    out.mutable_mcnemar()->set_mid_p_value(metric.mcnemar->test.mid_p);
  }
  out.set_adjusted_p_value(
      metric.adjusted_p_value.value_or(std::numeric_limits<double>::quiet_NaN()));
  out.set_significant(metric.significant);
  out.set_higher_is_better(metric.higher_is_better);
  out.set_source(static_cast<type::v1::Evidence::Source>(static_cast<int>(metric.source) + 1));
  out.set_explanation(metric.explanation);
  return out;
}

}  // namespace

pb::Run ToProto(const Run& run) {
  pb::Run out;
  if (!run.id.empty()) out.set_name(run.name());
  *out.mutable_create_time() = ToProto(run.create_time);
  *out.mutable_update_time() = ToProto(run.update_time);
  out.set_etag(absl::StrCat(run.version));
  FillMap(run.labels, out.mutable_labels());
  out.set_suite_version(run.suite_version);
  for (const System& system : run.systems) *out.add_systems() = ToProto(system);
  out.set_repeats(run.repeats);
  if (run.cost_cap > 0) *out.mutable_cost_cap() = MoneyToProto(run.cost_cap);
  if (run.half_width > 0) out.mutable_stop_at_precision()->set_half_width(run.half_width);
  out.set_concurrency(run.concurrency);
  for (const SystemResult& result : run.results) {
    *out.add_results() = ToProto(result);
    // An answer that was given once agrees with itself: that says nothing.
    if (run.repeats < 2) out.mutable_results(out.results_size() - 1)->clear_consistency();
  }
  out.set_state(static_cast<pb::Run::State>(static_cast<int>(run.state) +
                                            1));  // same order after UNSPECIFIED
  out.set_state_reason(run.state_reason);
  out.set_answers_done(run.answers_done);
  out.set_answers_total(run.answers_total);
  out.set_answers_reused(run.answers_reused);
  *out.mutable_cost() = MoneyToProto(run.cost);
  if (run.finish_time) *out.mutable_finish_time() = ToProto(*run.finish_time);
  if (run.eta_seconds > 0) *out.mutable_eta() = SecondsToProto(run.eta_seconds);
  out.set_task(run.task);
  return out;
}

absl::StatusOr<Run> FromProto(const pb::Run& in) {
  Run run{.suite_version = in.suite_version(),
          .repeats = in.repeats(),
          .half_width = in.stop_at_precision().half_width(),
          .concurrency = in.concurrency(),
          .labels = FromMap(in.labels())};
  for (int i = 0; i < in.systems_size(); ++i) {
    ASSIGN_OR_RETURN(System system, FromProto(in.systems(i), absl::StrCat("run.systems[", i, "]")));
    run.systems.push_back(std::move(system));
  }
  ASSIGN_OR_RETURN(run.cost_cap, ToUsd(in.cost_cap(), "run.cost_cap"));
  return run;
}

pb::Answer ToProto(const Run& run, const SuiteRow& row, const ScoredAnswer& scored,
                   const std::vector<GraderSpec>& graders) {
  const Answer& answer = scored.answer;
  pb::Answer out;
  auto part = [](const std::string& digest) {
    return digest.substr(0, 7) == "sha256:" ? digest.substr(7, 12) : digest;
  };
  out.set_name(absl::StrCat(run.name(), "/answers/", part(answer.row_digest), "-",
                            part(answer.system_digest), "-", answer.repeat));
  out.set_row_digest(answer.row_digest);
  out.set_system_digest(answer.system_digest);
  out.set_repeat(answer.repeat);
  out.set_output(answer.output);
  out.set_expected(row.expected);
  for (size_t i = 0; i < graders.size(); ++i)
    (*out.mutable_scores())[graders[i].name] = scored.grades[i].score;
  out.set_finish_reason(answer.finish_reason);
  *out.mutable_usage() = ToProto(answer.usage);
  if (answer.cost_known) *out.mutable_cost() = MoneyToProto(answer.cost);
  *out.mutable_latency() = SecondsToProto(answer.latency_seconds);
  *out.mutable_first_token() = SecondsToProto(answer.first_token_seconds);
  out.set_cached(answer.cached);
  out.set_revision(answer.revision);
  out.set_error(answer.error);
  *out.mutable_time() = ToProto(answer.time);
  out.set_reused(answer.run != run.id);
  return out;
}

pb::Comparison ToProto(const Comparison& comparison) {
  pb::Comparison out;
  out.set_name(absl::StrCat(comparison.project, "/comparisons/", comparison.id));
  *out.mutable_create_time() = ToProto(comparison.create_time);
  for (const std::string& run : comparison.runs) out.add_runs(run);
  out.set_baseline(comparison.baseline);
  out.set_candidate(comparison.candidate);
  for (const ComparedMetric& metric : comparison.metrics) *out.add_metrics() = ToProto(metric);
  *out.mutable_flip_rate() = ToProto(comparison.flip_rate);
  for (const Flip& flip : comparison.flips) *out.add_flips() = ToProto(flip);
  for (const Flip& flip : comparison.regressions) *out.add_regressions() = ToProto(flip);
  out.set_suite_version(comparison.suite_version);
  return out;
}

}  // namespace crossover::evaluation
