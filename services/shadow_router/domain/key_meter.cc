#include "services/shadow_router/domain/key_meter.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::router {
namespace {

constexpr int64_t kSecondsPerDay = 24 * 60 * 60;

absl::Status RefusedByLimit(const char* reason, const std::string& message, double wait_seconds) {
  const auto seconds = static_cast<int64_t>(std::max(1.0, std::ceil(wait_seconds)));
  return Error(absl::StatusCode::kResourceExhausted,
               absl::StrCat(message, "; try again in ", seconds, " s"),
               {.reason = reason,
                .metadata = {{"retry_after_seconds", absl::StrCat(seconds)}},
                .violations = {}});
}

}  // namespace

void KeyMeter::Bucket::Refill(double limit, absl::Duration now) {
  const double minutes = absl::ToDoubleMinutes(now - at);
  level = std::min(limit, minutes > 1e6 ? limit : level + minutes * limit);
  at = now;
}

double KeyMeter::Bucket::Wait(double limit, double wanted) const {
  return (wanted - level) / limit * 60;
}

KeyMeter::Use& KeyMeter::UseOf(const Caller& caller) {
  Use& use = uses_[caller.name];
  const absl::Duration now = clock_.SteadyNow();
  use.requests.Refill(static_cast<double>(caller.limits.requests_per_minute), now);
  use.tokens.Refill(static_cast<double>(caller.limits.tokens_per_minute), now);
  const int64_t today = absl::ToUnixSeconds(clock_.Now()) / kSecondsPerDay;
  if (use.day != today) use.spent_usd = 0;
  use.day = today;
  return use;
}

absl::Status KeyMeter::TakeRequest(const Caller& caller) {
  const auto limit = static_cast<double>(caller.limits.requests_per_minute);
  if (limit <= 0) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  Bucket& bucket = UseOf(caller).requests;
  if (bucket.level < 1) {
    return RefusedByLimit("RATE_LIMITED",
                          absl::StrCat(caller.name, " may make ", limit, " requests a minute"),
                          bucket.Wait(limit, 1));
  }
  --bucket.level;
  return absl::OkStatus();
}

absl::Status KeyMeter::Reserve(const Caller& caller, const Amount& expected) {
  const CallerLimits& limits = caller.limits;
  if (limits.tokens_per_minute <= 0 && limits.spend_per_day_usd <= 0) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  Use& use = UseOf(caller);
  const auto limit = static_cast<double>(limits.tokens_per_minute);
  const auto tokens = static_cast<double>(expected.tokens);
  if (limit > 0 && use.tokens.level < std::min(tokens, limit)) {
    return RefusedByLimit("RATE_LIMITED",
                          absl::StrCat(caller.name, " may use ", limit, " tokens a minute"),
                          use.tokens.Wait(limit, std::min(tokens, limit)));
  }
  const double budget = limits.spend_per_day_usd;
  if (budget > 0 && use.spent_usd + expected.usd > budget && use.spent_usd > 0) {
    const int64_t into_day = absl::ToUnixSeconds(clock_.Now()) % kSecondsPerDay;
    return RefusedByLimit("BUDGET_EXCEEDED",
                          absl::StrCat(caller.name, " may spend ", budget,
                                       " USD a day and has spent ", use.spent_usd),
                          static_cast<double>(kSecondsPerDay - into_day));
  }
  use.tokens.level -= tokens;
  use.spent_usd += expected.usd;
  return absl::OkStatus();
}

void KeyMeter::Settle(const Caller& caller, const Amount& expected, const Amount& used) {
  const CallerLimits& limits = caller.limits;
  if (limits.tokens_per_minute <= 0 && limits.spend_per_day_usd <= 0) return;
  absl::MutexLock lock(&mutex_);
  Use& use = UseOf(caller);
  use.tokens.level += static_cast<double>(expected.tokens - used.tokens);
  use.spent_usd = std::max(0.0, use.spent_usd + used.usd - expected.usd);
}

}  // namespace crossover::router
