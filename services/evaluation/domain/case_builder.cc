#include "services/evaluation/domain/case_builder.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace crossover::evaluation {
namespace {

// Until a job has reported its real cost: hours of one training on one device, and trainings in a
// sweep (several rounds).
constexpr double kTrainingHours = 1;
constexpr double kSweepTrainings = 3;
constexpr double kShadowDays = 7;

constexpr EvidenceSource kDeclared = EvidenceSource::kDeclared;
constexpr EvidenceSource kMeasured = EvidenceSource::kMeasured;

TaskFacts FactsOf(const CaseSources& sources, absl::Time now) {
  const TaskRecord& task = sources.task;
  TaskFacts facts;
  if (!task.owner.empty()) facts.owner = {{task.owner, kDeclared}};
  if (!task.retraining_plan.empty()) facts.retraining_plan = {{task.retraining_plan, kDeclared}};
  // A task has one output contract by its type; a prompt that does several is split into tasks
  // before it gets here.
  if (task.has_output_contract) facts.task_count = {{1, kDeclared}};
  std::optional<absl::Time> since = task.prompt_unchanged_since;
  EvidenceSource since_source = kDeclared;
  if (!since && sources.prompt && sources.prompt->active_since) {
    since = sources.prompt->active_since;
    since_source = kMeasured;
  }
  if (since) facts.prompt_age_days = {{absl::ToDoubleHours(now - *since) / 24, since_source}};
  if (task.requests_per_day > 0) facts.requests_per_day = {{task.requests_per_day, kDeclared}};
  if (task.tokens_per_month > 0) {
    facts.tokens_per_month = {{task.tokens_per_month, kDeclared}};
  } else if (task.requests_per_day > 0 && sources.best_result && sources.best_result->answers > 0) {
    double tokens =
        static_cast<double>(sources.best_result->usage.input + sources.best_result->usage.output) /
        static_cast<double>(sources.best_result->answers);
    // The tokens are measured, the volume is declared.
    facts.tokens_per_month = {{tokens * task.requests_per_day * kDaysPerMonth, kDeclared}};
  }
  facts.changing_knowledge = {{task.knowledge_changes, kDeclared}};
  facts.deep_reasoning = {{task.deep_reasoning, kDeclared}};
  if (task.urgent) facts.urgent = {{*task.urgent, kDeclared}};
  if (task.horizon_months) facts.model_horizon_months = {{*task.horizon_months, kDeclared}};
  facts.symptoms = task.symptoms;
  return facts;
}

stats::Interval Milliseconds(stats::Interval seconds) {
  seconds.point *= 1000;
  seconds.lower *= 1000;
  seconds.upper *= 1000;
  return seconds;
}

stats::Interval Errors(stats::Interval valid) {
  std::swap(valid.lower, valid.upper);
  valid.point = 1 - valid.point;
  valid.lower = 1 - valid.lower;
  valid.upper = 1 - valid.upper;
  return valid;
}

// The declared volume times the cost of the best prompt's request: measured tokens at a price.
std::optional<double> PricedSpend(const CaseSources& sources) {
  const double requests = sources.task.requests_per_day;
  if (requests <= 0 || !sources.best_result || !sources.best_result->cost_per_request)
    return std::nullopt;
  return sources.best_result->cost_per_request->point * requests * kDaysPerMonth;
}

// A month with the best prompt: what is spent by declaration, else what its tokens cost.
std::optional<Fact<double>> MonthlySpend(const CaseSources& sources) {
  if (sources.task.monthly_spend) return Fact<double>{*sources.task.monthly_spend, kDeclared};
  const std::optional<double> priced = PricedSpend(sources);
  if (!priced) return std::nullopt;
  return Fact<double>{*priced, kDeclared};
}

// What the prompt's tokens were priced with.
std::string PromptPriceWords(const CaseSources& sources) {
  const std::string& words = sources.best_result->cost_explanation;
  return words.empty() ? "measured tokens at the declared price" : words;
}

// Where the month before comes from. A declared spend stands against a cost that is reckoned from
// tokens: that the two sides differ in kind must be seen, and what the same reckoning gives here.
std::string PromptServingWords(const CaseSources& sources) {
  if (!sources.task.monthly_spend) {
    return absl::StrCat("a month: the best prompt's ", PromptPriceWords(sources),
                        ", times the declared volume");
  }
  const std::optional<double> priced = PricedSpend(sources);
  return absl::StrCat(
      "a month, declared as monthly_spend and not measured, while the tuned model's is reckoned "
      "from tokens",
      priced ? absl::StrFormat("; reckoned alike the best prompt costs %.2f USD a month (%s, times "
                               "the declared volume)",
                               *priced, PromptPriceWords(sources))
             : "; the best prompt's own tokens have no price to reckon it alike");
}

PromptFacts PromptOf(const CaseSources& sources) {
  PromptFacts prompt;
  if (sources.task.target_score) prompt.target_score = {{*sources.task.target_score, kDeclared}};
  if (sources.task.target_latency_p50)
    prompt.latency_p50_target_ms = {{*sources.task.target_latency_p50 * 1000, kDeclared}};
  prompt.spend_per_month = MonthlySpend(sources);
  if (sources.prompt) prompt.examples = {{sources.prompt->examples, kMeasured}};
  if (!sources.best_result) return prompt;
  const SystemResult& result = *sources.best_result;
  if (result.latency.mean.n > 0) {
    prompt.latency_ms = {{Milliseconds(result.latency.mean), kMeasured}};
    prompt.latency_p50_ms = {{Milliseconds(result.latency.p50), kMeasured}};
  }
  if (result.format_valid) prompt.format_errors = {{Errors(*result.format_valid), kMeasured}};
  prompt.prompt_tokens = {{result.prompt_tokens, kMeasured}};
  return prompt;
}

const ComparedMetric* Find(const Comparison& comparison, const std::string& name) {
  for (const ComparedMetric& metric : comparison.metrics) {
    if (metric.metric == name) return &metric;
  }
  return nullptr;
}

// A request to the tuned model: its measured tokens if it has been compared, else the plain
// prompt's; at a declared price either way.
std::optional<Fact<std::pair<double, std::string>>> TunedCost(const CaseSources& sources) {
  using Result = Fact<std::pair<double, std::string>>;
  if (sources.comparison) {
    if (const ComparedMetric* cost = Find(*sources.comparison, "cost_per_request")) {
      return Result{{cost->candidate.point,
                     absl::StrCat("the comparison's ", cost->explanation.empty()
                                                           ? "measured tokens at the declared price"
                                                           : cost->explanation)},
                    kDeclared};
    }
  }
  Prices prices = ServingPrices(sources.task);
  if (!sources.plain_result || sources.plain_result->answers == 0 || !prices.known)
    return std::nullopt;
  const SystemResult& plain = *sources.plain_result;
  return Result{{CostOf(plain.usage, prices) / static_cast<double>(plain.answers),
                 absl::StrCat("the plain prompt's ", CostWords(prices))},
                kDeclared};
}

// What a month with the prompt and with the tuned model cannot be reckoned without.
std::vector<std::string> MissingCosts(const CaseSources& sources) {
  const TaskRecord& task = sources.task;
  std::vector<std::string> missing;
  if (!task.developer_hours) missing.emplace_back("developer hours (declared.developer_hours)");
  if (task.requests_per_day <= 0) missing.emplace_back("the volume (volume.requests_per_day)");
  const bool measured = sources.best_result.has_value();
  if (!task.monthly_spend && !(measured && sources.best_result->cost_per_request)) {
    missing.push_back(absl::StrCat("what the prompt costs (declared.monthly_spend, or ",
                                   measured ? "" : "a measured ladder at ",
                                   "prices of the project or the upstream)"));
  }
  if (TunedCost(sources)) return missing;
  if (!ServingPrices(task).known) {
    missing.emplace_back(
        "the price of a token on your own machines (the project's price_list.serving, or "
        "declared.monthly_spend with volume.tokens_per_month)");
  } else {
    missing.emplace_back("a measured system-prompt rung (its tokens price the tuned model's)");
  }
  return missing;
}

// Where MissingCosts is empty.
std::optional<Costs> CostsOf(const CaseSources& sources, const std::optional<Fact<double>>& spend) {
  const TaskRecord& task = sources.task;
  auto tuned = TunedCost(sources);
  if (!task.developer_hours || task.requests_per_day <= 0 || !tuned || !spend) return std::nullopt;
  Costs costs;
  auto origin = [&costs](const char* name, EvidenceSource source, std::string words) {
    costs.origins[name] = {std::move(words), source};
  };
  costs.requests_per_month = task.requests_per_day * kDaysPerMonth;
  costs.prompt_per_month = spend->value;
  costs.tuned_serving_per_month = tuned->value.first * costs.requests_per_month;
  origin("prompt_serving", kDeclared, PromptServingWords(sources));
  origin("tuned_serving", kDeclared,
         absl::StrCat("a month: ", tuned->value.second, ", times the declared volume"));
  costs.developer_hours = *task.developer_hours;
  origin("developer_hours", kDeclared, absl::StrFormat("%g hours", *task.developer_hours));
  if (task.labelling_cost) {
    costs.labelling = *task.labelling_cost;
    origin("labelling", kDeclared, "declared");
  }
  if (task.monthly_operations) {
    costs.operations_per_month = *task.monthly_operations;
    origin("operations", kDeclared, "a month");
  }
  costs.training = task.device_hour.value_or(0) * kTrainingHours;
  origin(
      "training", EvidenceSource::kDefault,
      absl::StrFormat("%g device hour(s) at %g USD", kTrainingHours, task.device_hour.value_or(0)));
  costs.sweeps = costs.training * kSweepTrainings;
  origin("sweeps", EvidenceSource::kDefault, absl::StrFormat("%g trainings", kSweepTrainings));
  costs.evaluation = sources.evaluation_cost;
  origin("evaluation", kDeclared, "the ladder's runs: measured tokens at declared prices");
  costs.shadow = tuned->value.first * task.requests_per_day * kShadowDays;
  origin("shadow", EvidenceSource::kDefault,
         absl::StrFormat("%g days of mirrored traffic; a request: %s", kShadowDays,
                         tuned->value.second));
  costs.one_retraining = costs.training + costs.evaluation;
  origin("retraining", EvidenceSource::kDefault, "one training and one evaluation, 2 to 4 a year");
  return costs;
}

}  // namespace

Prices ServingPrices(const TaskRecord& task) {
  if (task.serving.known || !task.monthly_spend || task.tokens_per_month <= 0) return task.serving;
  double per_million = *task.monthly_spend / task.tokens_per_month * 1e6;
  return {.known = true,
          .input = per_million,
          .cached_input = per_million,
          .output = per_million,
          .origin = "the declared monthly spend over the declared tokens a month"};
}

CaseFile BuildCase(const CaseSources& sources, absl::Time now) {
  CaseFile file;
  file.task = sources.task.name;
  if (sources.ladder) file.ladder = ToEvidence(*sources.ladder);
  file.data = sources.data;
  file.facts = FactsOf(sources, now);
  file.prompt = PromptOf(sources);
  if (sources.comparison && !sources.comparison->metrics.empty()) {
    file.tuned_gain = {{sources.comparison->metrics.front().difference, kMeasured}};
  }
  file.costs = CostsOf(sources, file.prompt.spend_per_month);
  if (!file.costs) file.costs_missing = MissingCosts(sources);
  return file;
}

}  // namespace crossover::evaluation
