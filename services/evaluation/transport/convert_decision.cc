#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/evaluation/transport/convert.h"
#include "services/evaluation/transport/convert_type.h"

namespace crossover::evaluation {
namespace {

using evaluation::ToProto;  // the overloads below would hide those of convert_type.h

pb::Decision::Recommendation ToProto(Recommendation recommendation) {
  return static_cast<pb::Decision::Recommendation>(static_cast<int>(recommendation) +
                                                   1);  // same order after UNSPECIFIED
}

pb::ReturnOnInvestment ToProto(const ReturnOnInvestment& roi) {
  pb::ReturnOnInvestment out;
  *out.mutable_one_time() = MoneyToProto(roi.one_time);
  *out.mutable_monthly_before() = MoneyToProto(roi.monthly_before);
  *out.mutable_monthly_after() = MoneyToProto(roi.monthly_after);
  if (roi.payback_months) *out.mutable_payback_months() = ToProto(*roi.payback_months);
  *out.mutable_tco_6_months() = MoneyToProto(roi.SixMonthsTuned());
  *out.mutable_tco_6_months_prompt() = MoneyToProto(roi.SixMonthsPrompt());
  for (const RoiItem& item : roi.items) {
    pb::ReturnOnInvestment::Item* added = out.add_items();
    added->set_name(item.name);
    *added->mutable_amount() = MoneyToProto(item.amount);
    added->set_source(static_cast<type::v1::Evidence::Source>(static_cast<int>(item.source) + 1));
    added->set_explanation(item.explanation);
  }
  for (const RoiFlip& flip : roi.flips) {
    pb::ReturnOnInvestment::Flip* added = out.add_flips();
    added->set_parameter(flip.parameter);
    added->set_value(flip.value);
    added->set_flips_at(flip.flips_at);
    added->set_recommendation(ToProto(flip.recommendation));
  }
  if (roi.saving_per_request) *out.mutable_saving_per_request() = ToProto(*roi.saving_per_request);
  return out;
}

void FillVerdict(const Verdict& verdict, pb::Decision* out) {
  for (const Evidence& evidence : verdict.evidence) *out->add_evidence() = ToProto(evidence);
  if (verdict.roi_known) *out->mutable_roi() = ToProto(verdict.roi);
  out->set_recommendation(ToProto(verdict.recommendation));
  for (const std::string& reason : verdict.reasons) out->add_reasons(reason);
  for (const std::string& warning : verdict.warnings) out->add_reasons(warning);
  for (const Alternative& alternative : verdict.alternatives) {
    pb::Decision::Alternative* added = out->add_alternatives();
    added->set_symptom(alternative.symptom);
    added->set_remedy(alternative.remedy);
    added->set_recommendation(ToProto(alternative.recommendation));
  }
  for (const Answer5& question : verdict.questions) {
    pb::Decision::Answer* added = out->add_answers();
    added->set_question(question.question);
    added->set_answer(question.answer);
    for (const std::string& input : question.inputs) added->add_inputs(input);
  }
  for (const std::string& step : verdict.next_steps) out->add_next_steps(step);
  for (const auto& [name, value] : verdict.thresholds)
    (*out->mutable_thresholds())[name] = absl::StrFormat("%g", value);
}

}  // namespace

pb::Ladder ToProto(const Ladder& ladder) {
  pb::Ladder out;
  if (!ladder.id.empty()) out.set_name(ladder.name());
  *out.mutable_create_time() = ToProto(ladder.create_time);
  *out.mutable_update_time() = ToProto(ladder.update_time);
  out.set_etag(absl::StrCat(ladder.version));
  FillMap(ladder.labels, out.mutable_labels());
  out.set_task(ladder.task);
  out.set_dev_suite(ladder.dev_suite);
  out.set_test_suite(ladder.test_suite);
  for (const Rung& rung : ladder.rungs) {
    pb::Ladder::Rung* added = out.add_rungs();
    added->set_kind(static_cast<pb::Ladder::RungKind>(rung.kind));
    *added->mutable_system() = ToProto(rung.system);
    if (rung.dev) *added->mutable_dev() = ToProto(*rung.dev);
    if (rung.cost_per_request)
      *added->mutable_cost_per_request() = MoneyToProto(*rung.cost_per_request);
    if (rung.test) *added->mutable_test() = ToProto(*rung.test);
    added->set_run(rung.run);
    if (rung.gain) *added->mutable_gain() = ToProto(*rung.gain);
    if (rung.format_valid) *added->mutable_format_valid() = ToProto(*rung.format_valid);
    if (rung.latency_p50) *added->mutable_latency_p50() = ToProto(*rung.latency_p50);
    added->set_prompt_tokens(rung.prompt_tokens);
    added->set_skipped_reason(rung.skipped_reason);
  }
  if (!ladder.converged.condition.empty()) *out.mutable_converged() = ToProto(ladder.converged);
  out.set_chosen(ladder.chosen);
  out.set_state(static_cast<pb::Ladder::State>(static_cast<int>(ladder.state) +
                                               1));  // same order after UNSPECIFIED
  out.set_state_reason(ladder.state_reason);
  out.set_repeats(ladder.repeats);
  if (ladder.cost_cap > 0) *out.mutable_cost_cap() = MoneyToProto(ladder.cost_cap);
  out.set_climb_all(ladder.climb_all);
  out.set_convergence_margin(ladder.convergence_margin);
  return out;
}

absl::StatusOr<Ladder> FromProto(const pb::Ladder& in) {
  Ladder ladder{.task = in.task(),
                .dev_suite = in.dev_suite(),
                .test_suite = in.test_suite(),
                .repeats = in.repeats(),
                .climb_all = in.climb_all(),
                .convergence_margin = in.convergence_margin(),
                .labels = FromMap(in.labels())};
  for (int i = 0; i < in.rungs_size(); ++i) {
    Rung rung{.kind = static_cast<RungKind>(in.rungs(i).kind())};
    ASSIGN_OR_RETURN(rung.system,
                     FromProto(in.rungs(i).system(), absl::StrCat("ladder.rungs[", i, "].system")));
    ladder.rungs.push_back(std::move(rung));
  }
  ASSIGN_OR_RETURN(ladder.cost_cap, ToUsd(in.cost_cap(), "ladder.cost_cap"));
  return ladder;
}

pb::Decision ToProto(const Decision& decision) {
  pb::Decision out;
  if (!decision.id.empty()) out.set_name(decision.name());
  *out.mutable_create_time() = ToProto(decision.create_time);
  *out.mutable_update_time() = ToProto(decision.update_time);
  out.set_etag(absl::StrCat(decision.version));
  FillMap(decision.labels, out.mutable_labels());
  out.mutable_inputs()->set_ladder(decision.inputs.ladder);
  out.mutable_inputs()->set_dataset_version(decision.inputs.dataset_version);
  out.mutable_inputs()->set_comparison(decision.inputs.comparison);
  for (const auto& [name, value] : decision.inputs.thresholds) {
    (*out.mutable_inputs()->mutable_thresholds())[name] = absl::StrFormat("%g", value);
  }
  FillVerdict(decision.verdict, &out);
  for (const ThresholdOverride& item : Overridden(decision.verdict.thresholds)) {
    pb::ThresholdOverride* added = out.add_overridden_thresholds();
    added->set_name(item.name);
    added->set_value(absl::StrFormat("%g", item.value));
    added->set_default_value(absl::StrFormat("%g", item.default_value));
    added->set_origin(decision.inputs.thresholds.count(item.name) > 0 ? "request" : "project");
  }
  out.set_state(static_cast<pb::Decision::State>(static_cast<int>(decision.state) + 1));
  if (decision.sign_time) {
    out.mutable_signature()->set_by(decision.signed_by);
    out.mutable_signature()->set_reason(decision.sign_reason);
    *out.mutable_signature()->mutable_time() = ToProto(*decision.sign_time);
  }
  out.set_trigger(decision.trigger);
  return out;
}

absl::StatusOr<Decision> FromProto(const pb::Decision& in) {
  Decision decision{.labels = FromMap(in.labels())};
  decision.inputs = {
      in.inputs().ladder(), in.inputs().dataset_version(), in.inputs().comparison(), {}};
  for (const auto& [name, text] : in.inputs().thresholds()) {
    double value = 0;
    if (!absl::SimpleAtod(text, &value) || !std::isfinite(value)) {
      return Error(
          absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
          absl::StrCat("decision.inputs.thresholds[", name, "]: '", text, "' is not a number"));
    }
    decision.inputs.thresholds[name] = value;
  }
  return decision;
}

}  // namespace crossover::evaluation
