// The mirror's books: every sampled request ends as paired, failed or dropped, and the sums add up
// at every moment.
//
// A row books the requests that were *sampled in its minute*, whenever they end. In every snapshot,
// row by row:
//   sampled = paired + sum(failed) + sum(dropped) + in_flight.
// Rows carry absolute counts, so writing one twice does no harm.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "absl/time/time.h"

namespace crossover::router {

enum class DropReason {
  kQueueFull,
  kTooLarge,
  kBudget,
  kBreakerOpen,
  kNoConsent,
  kCancelled,
  kCrashed
};
std::string_view ToString(DropReason reason);  // `queue_full` …

struct LedgerKey {
  std::string experiment;
  int comparison = 0;
  absl::Time minute;

  auto AsTuple() const { return std::tie(experiment, comparison, minute); }
  bool operator<(const LedgerKey& other) const { return AsTuple() < other.AsTuple(); }
  bool operator==(const LedgerKey& other) const { return AsTuple() == other.AsTuple(); }
};

struct LedgerCounts {
  int64_t eligible = 0;  // Requests of the route while the experiment was on, sampled or not.
  int64_t sampled = 0;
  int64_t paired = 0;
  std::map<std::string, int64_t>
      failed;  // By reason: `timeout`, `connect_failed`, `http_error`, `broken`, `primary_failed` …
  std::map<std::string, int64_t> dropped;  // By DropReason.
  int64_t in_flight = 0;
  int64_t bytes = 0;  // Of sampled requests and answers.

  bool AddsUp() const;
  void Add(const LedgerCounts& other);
  bool operator==(const LedgerCounts&) const = default;
};

struct LedgerRow {
  std::string instance;     // Where the router runs: survives restarts.
  std::string incarnation;  // This start of it.
  LedgerKey key;
  LedgerCounts counts;

  bool operator==(const LedgerRow&) const = default;
};

}  // namespace crossover::router
