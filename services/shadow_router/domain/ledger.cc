#include "services/shadow_router/domain/ledger.h"

namespace crossover::router {

std::string_view ToString(DropReason reason) {
  switch (reason) {
    case DropReason::kQueueFull:
      return "queue_full";
    case DropReason::kTooLarge:
      return "too_large";
    case DropReason::kBudget:
      return "budget";
    case DropReason::kBreakerOpen:
      return "breaker_open";
    case DropReason::kNoConsent:
      return "no_consent";
    case DropReason::kCancelled:
      return "cancelled";
    case DropReason::kCrashed:
      return "crashed";
  }
  return "unknown";
}

bool LedgerCounts::AddsUp() const {
  int64_t sum = paired + in_flight;
  for (const auto& [reason, count] : failed) sum += count;
  for (const auto& [reason, count] : dropped) sum += count;
  return sampled == sum && in_flight >= 0 && eligible >= sampled;
}

void LedgerCounts::Add(const LedgerCounts& other) {
  eligible += other.eligible;
  sampled += other.sampled;
  paired += other.paired;
  for (const auto& [reason, count] : other.failed) failed[reason] += count;
  for (const auto& [reason, count] : other.dropped) dropped[reason] += count;
  in_flight += other.in_flight;
  bytes += other.bytes;
}

}  // namespace crossover::router
