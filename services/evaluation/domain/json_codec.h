// JSON forms of the domain's values: what the store keeps, and what digests are taken of. Members
// that are absent keep their defaults, so that old documents can be read. Reading may throw
// nlohmann's exceptions; use Decode<T>().
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/prompt/prompt_spec.h"
#include "common/stats/interval.h"
#include "common/status/error.h"
#include "services/evaluation/domain/comparison.h"
#include "services/evaluation/domain/decision.h"
#include "services/evaluation/domain/ladder.h"
#include "services/evaluation/domain/run.h"
#include "services/evaluation/domain/suite.h"

namespace nlohmann {

template <typename T>
struct adl_serializer<std::optional<T>> {
  static void to_json(json& out, const std::optional<T>& value) {
    if (value) {
      out = *value;
    } else {
      out = nullptr;
    }
  }
  static void from_json(const json& in, std::optional<T>& value) {
    if (in.is_null()) {
      value.reset();
    } else {
      value = in.get<T>();
    }
  }
};

template <>
struct adl_serializer<absl::Time> {
  static void to_json(json& out, const absl::Time& time) { out = absl::ToUnixMicros(time); }
  static void from_json(const json& in, absl::Time& time) {
    time = absl::FromUnixMicros(in.get<int64_t>());
  }
};

template <>
struct adl_serializer<crossover::stats::Interval> {
  static void to_json(json& out, const crossover::stats::Interval& interval) {
    out = crossover::stats::ToJson(interval);
  }
  static void from_json(const json& in, crossover::stats::Interval& interval) {
    auto parsed = crossover::stats::IntervalFromJson(in);
    if (parsed.ok()) interval = *parsed;
  }
};

}  // namespace nlohmann

namespace crossover::prompt {
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Sampling, temperature, top_p, top_k, max_tokens,
                                                seed, stop)
}  // namespace crossover::prompt

namespace crossover::stats {
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(McNemar, b, c, exact_p, mid_p,
                                                chi_squared_corrected, chi_squared_p)
}  // namespace crossover::stats

namespace crossover::evaluation {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Prices, known, input, cached_input, output, origin)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Usage, input, cached_input, output)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(System, prompt_version, kind, model, model_digest,
                                                base_digest, upstream, revision, sampling,
                                                response_format, timeout_seconds, max_input_tokens,
                                                max_cost, max_concurrency, display_name, digest)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(GraderSpec, name, kind, pattern, choices, schema,
                                                fields, all, raw_only, absolute_tolerance,
                                                relative_tolerance, pass_score)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Slice, name, filter, by_field)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(DatasetRows, dataset_version, split, max_rows, seed)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Power, detectable_difference, discordance,
                                                rows_needed)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Suite, name, project, slug, digest, task, dataset,
                                                graders, slices, cluster_by, role, power, row_count,
                                                cluster_count, labels, create_time)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SuiteRow, row_digest, messages, expected, observed,
                                                cluster, attributes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Judgement, row_digest, annotator, verdict, comment,
                                                time)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(NamedScore, name, score)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(GraderResult, grader, score, accuracy, passed, rows,
                                                passed_share, slices, fields)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Latency, p50, p90, p99, ttft_p50, mean)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SystemResult, system_digest, display_name, graders,
                                                usage, cost, cost_per_request, latency, consistency,
                                                pass_all, format_valid, format_valid_unfenced,
                                                errors, prompt_tokens, answers, cached_answers,
                                                cost_explanation)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Run, id, project, suite_version, suite_digest, task,
                                                systems, prices, repeats, cost_cap, half_width,
                                                concurrency, labels, state, state_reason, results,
                                                answers_done, answers_total, answers_reused, cost,
                                                eta_seconds, create_time, update_time, finish_time,
                                                version)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ComparedMcNemar, both, neither, test)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ComparedMetric, metric, baseline, candidate,
                                                difference, mcnemar, p_value, adjusted_p_value,
                                                significant, higher_is_better, source, explanation)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Flip, row_digest, input, expected, baseline_output,
                                                candidate_output, baseline_score, candidate_score)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Comparison, id, project, runs, suite_version,
                                                baseline, candidate, metrics, flip_rate, flips,
                                                regressions, create_time)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Waiver, condition, by, reason, time)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Evidence, condition, kind, status, source, value,
                                                interval, threshold, inputs, waiver, explanation,
                                                next_step)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Rung, kind, system, dev, gain, cost_per_request,
                                                test, run, format_valid, latency_p50, prompt_tokens,
                                                skipped_reason)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Ladder, id, project, task, dev_suite, test_suite,
                                                rungs, converged, chosen, state, state_reason,
                                                repeats, cost_cap, climb_all, convergence_margin,
                                                test_run, target, labels, create_time, update_time,
                                                version)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(RoiItem, name, amount, source, explanation)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(RoiFlip, parameter, value, flips_at, recommendation)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ReturnOnInvestment, one_time, monthly_before,
                                                monthly_after, saving_per_month, payback_months,
                                                saving_per_request, items, flips)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Answer5, question, answer, inputs)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Alternative, symptom, remedy, recommendation)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Verdict, recommendation, reasons, warnings,
                                                evidence, roi, roi_known, alternatives, questions,
                                                next_steps, thresholds)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(DecisionInputs, ladder, dataset_version, comparison,
                                                thresholds)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Decision, id, task, inputs, verdict, waivers, state,
                                                signed_by, sign_reason, sign_time, trigger, labels,
                                                create_time, update_time, version)

// Internal DOCUMENT_INVALID names what could not be read.
template <typename T>
absl::StatusOr<T> Decode(const std::string& document, const char* what) {
  try {
    return nlohmann::json::parse(document).get<T>();
  } catch (const nlohmann::json::exception& exception) {
    return Error(absl::StatusCode::kInternal, "INTERNAL_ERROR",
                 absl::StrCat("stored ", what, " cannot be read: ", exception.what()));
  }
}

// Text that is not UTF-8 is written with replacement characters.
template <typename T>
std::string Encode(const T& value) {
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace crossover::evaluation
