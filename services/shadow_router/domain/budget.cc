#include "services/shadow_router/domain/budget.h"

#include <algorithm>

namespace crossover::router {

BudgetMeter::Day& BudgetMeter::Today(const std::string& experiment) {
  constexpr int64_t kSecondsPerDay = 24 * 60 * 60;
  Day& day = days_[experiment];
  const int64_t number = absl::ToUnixSeconds(clock_.Now()) / kSecondsPerDay;
  if (day.number != number) day = {.number = number, .spent = {}};
  return day;
}

bool BudgetMeter::Reserve(const std::string& experiment, const Budgets& budgets,
                          const Amount& expected) {
  absl::MutexLock lock(&mutex_);
  Day& day = Today(experiment);
  if (budgets.tokens_per_day > 0 && day.spent.tokens + expected.tokens > budgets.tokens_per_day)
    return false;
  if (budgets.cost_per_day_usd > 0 &&
      day.spent.cost_usd + expected.cost_usd > budgets.cost_per_day_usd)
    return false;
  day.spent.tokens += expected.tokens;
  day.spent.cost_usd += expected.cost_usd;
  return true;
}

void BudgetMeter::Settle(const std::string& experiment, const Amount& expected,
                         const Amount& used) {
  absl::MutexLock lock(&mutex_);
  Day& day = Today(experiment);
  // A call that ran over midnight was reserved yesterday; only what it used is booked today.
  day.spent.tokens = std::max<int64_t>(0, day.spent.tokens - expected.tokens) + used.tokens;
  day.spent.cost_usd = std::max(0.0, day.spent.cost_usd - expected.cost_usd) + used.cost_usd;
}

BudgetMeter::Amount BudgetMeter::SpentToday(const std::string& experiment) {
  absl::MutexLock lock(&mutex_);
  return Today(experiment).spent;
}

}  // namespace crossover::router
