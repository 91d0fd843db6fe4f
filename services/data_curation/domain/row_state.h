// What the stages of a run have decided about each row. Row i of the state is row i of the
// RowTable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::curation {

// What a stage noticed.
struct Flag {
  std::string stage;
  std::string code;      // "near_duplicate", "label_conflict", …
  double score = 0;      // how sure or how strong, by stage
  std::string evidence;  // a text span, or the row_digest of the other row

  bool operator==(const Flag&) const = default;
};

struct RowState {
  std::string drop_reason;  // `{stage}/{code}`; empty = kept
  std::string split;
  std::string cluster;
  std::vector<Flag> flags;

  bool kept() const { return drop_reason.empty(); }
  bool operator==(const RowState&) const = default;
};

using RowStates = std::vector<RowState>;

// One stage's decision about one row.
struct RowChange {
  int64_t row = 0;
  std::string drop;  // code; empty = not dropped by this change
  std::vector<Flag> flags;
  std::optional<std::string> split;
  std::optional<std::string> cluster;

  bool operator==(const RowChange&) const = default;
};

// Applies a stage's changes. DataLoss DIGEST_MISMATCH if one names a row that isn't there.
absl::Status Apply(std::string_view stage, const std::vector<RowChange>& changes,
                   RowStates& states);

// JSONL forms, for the cache of stages and for runs.
std::string ChangesToJsonl(const std::vector<RowChange>& changes);
absl::StatusOr<std::vector<RowChange>> ChangesFromJsonl(std::string_view text);
std::string StatesToJsonl(const RowStates& states);
absl::StatusOr<RowStates> StatesFromJsonl(std::string_view text);

}  // namespace crossover::curation
