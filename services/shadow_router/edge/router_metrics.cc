#include "services/shadow_router/edge/router_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace crossover::router {
namespace {

constexpr std::array<ExperimentState, 10> kStates = {
    ExperimentState::kDraft,     ExperimentState::kCalibrating, ExperimentState::kShadow,
    ExperimentState::kCanary,    ExperimentState::kPromoted,    ExperimentState::kReverseShadow,
    ExperimentState::kCompleted, ExperimentState::kRolledBack,  ExperimentState::kPaused,
    ExperimentState::kAborted};

void SetBounds(const metrics::GaugeFamily& family, const std::string& experiment,
               const stats::Interval& interval) {
  if (interval.n == 0) return;
  const auto set = [&](const char* bound, double value) {
    if (std::isfinite(value))
      family.With({{"experiment", experiment}, {"bound", bound}}).Set(value);
  };
  set("point", interval.point);
  set("lower", interval.lower);
  set("upper", interval.upper);
}

}  // namespace

RouterMetrics::RouterMetrics(metrics::Registry& registry)
    : requests_(registry.NewCounterFamily("crossover_router_requests_total",
                                          "Requests answered, by HTTP status code.")),
      overhead_(
          registry.NewHistogram("crossover_router_overhead_seconds", "Time in the router itself.")),
      upstream_(registry.NewHistogramFamily("crossover_router_upstream_seconds",
                                            "Time until an upstream's whole answer.")),
      mirror_(registry.NewCounterFamily("crossover_router_mirror_total",
                                        "Mirrored requests by how they ended.")),
      rejected_(registry.NewCounterFamily(
          "crossover_router_rejected_total",
          "Pairs, ledger rows and other items that the database will never take, by kind.")),
      feedback_(registry.NewCounterFamily(
          "crossover_router_feedback_total",
          "Feedback taken, by whether a pair was known under its inference id (known, none).")),
      mirror_queue_bytes_(registry.NewGauge("crossover_router_mirror_queue_bytes",
                                            "Bytes queued or being mirrored.")),
      agreement_(registry.NewGaugeFamily("crossover_router_agreement_ratio",
                                         "Share of valid pairs whose answers are equal.")),
      quality_(registry.NewGaugeFamily(
          "crossover_router_quality_difference",
          "Loss of the candidate minus the primary's, always-valid bounds.")),
      state_(registry.NewGaugeFamily("crossover_router_experiment_state",
                                     "1 for the state that the experiment is in.")),
      cost_(registry.NewCounterFamily("crossover_router_cost_usd_total",
                                      "Cost of served answers.")) {}

void RouterMetrics::Request(std::string_view route, std::string_view variant, int code) {
  requests_
      .With({{"route", std::string(route)},
             {"variant", std::string(variant)},
             {"code", absl::StrCat(code)}})
      .Increment();
}

void RouterMetrics::UpstreamCall(const std::string& upstream, absl::Duration duration) {
  upstream_.With({{"upstream", upstream}}).Observe(absl::ToDoubleSeconds(duration));
}

void RouterMetrics::Mirrored(std::string_view outcome, std::string_view reason) {
  mirror_.With({{"outcome", std::string(outcome)}, {"reason", std::string(reason)}}).Increment();
}

void RouterMetrics::Rejected(std::string_view kind, int64_t count) {
  rejected_.With({{"kind", std::string(kind)}}).Increment(static_cast<double>(count));
}

void RouterMetrics::Feedback(bool has_pair) {
  feedback_.With({{"pair", has_pair ? "known" : "none"}}).Increment();
}

void RouterMetrics::Cost(std::string_view route, std::string_view variant, double usd) {
  // A free answer makes the series too: zero and no data are different things.
  cost_.With({{"route", std::string(route)}, {"variant", std::string(variant)}})
      .Increment(std::max(usd, 0.0));
}

void RouterMetrics::Experiment(const Report& report) {
  const std::string name = LastSegment(report.experiment.name);
  SetBounds(agreement_, name, report.verdict.agreement);
  SetBounds(quality_, name, report.verdict.theta);
  for (ExperimentState state : kStates) {
    state_.With({{"experiment", name}, {"state", std::string(ToString(state))}})
        .Set(state == report.experiment.state ? 1 : 0);
  }
}

}  // namespace crossover::router
