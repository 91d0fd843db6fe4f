// Stage `exact_duplicates`: of equal rows one stays: the one in the split that must not be trained
// on, else the first.
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/json/digest.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/row_key.h"
#include "services/data_curation/domain/stage.h"

namespace crossover::curation {
namespace {

class ExactDuplicatesStage final : public Stage {
 public:
  std::string_view name() const override { return "exact_duplicates"; }
  int code_version() const override { return 1; }
  // normalise: rows also count as equal when their inputs differ only in case, width, punctuation
  // and white space and their answers are equal. Off by default: for code and formulas punctuation
  // is meaning.
  nlohmann::json defaults() const override { return {{"normalise", false}}; }

  absl::StatusOr<std::vector<RowChange>> Run(const StageInput& input) const override {
    const bool normalise = input.parameters["normalise"];
    absl::flat_hash_map<std::string, int64_t> first;
    std::vector<RowChange> changes;
    const auto drop = [&](int64_t row, int64_t kept) {
      const bool leak = SplitRank(input.states[row].split) > SplitRank(input.states[kept].split);
      const std::string code = leak ? "leaks_into_" + input.states[kept].split : "duplicate";
      changes.push_back(
          {.row = row,
           .drop = code,
           .flags = {{std::string(name()), code, 1, ToDigest(input.rows.RowDigest(kept))}}});
    };
    RETURN_IF_ERROR(ForEachKept(input, [&](int64_t i, const dataset::Row& row) {
      const auto [entry, is_new] = first.try_emplace(KeyOf(input.rows, i, row, normalise), i);
      if (is_new) return absl::OkStatus();
      const bool outranks =
          SplitRank(input.states[i].split) < SplitRank(input.states[entry->second].split);
      const int64_t loser = outranks ? std::exchange(entry->second, i) : i;
      drop(loser, entry->second);
      return absl::OkStatus();
    }));
    return changes;
  }

 private:
  static std::string KeyOf(const RowTable& rows, int64_t i, const dataset::Row& row,
                           bool normalise) {
    if (normalise) return NormalisedInput(row) + '\0' + AnswerKey(row);
    const DigestBytes& digest = rows.RowDigest(i);
    return std::string(digest.begin(), digest.end());
  }
};

}  // namespace

std::unique_ptr<Stage> NewExactDuplicatesStage() {
  return std::make_unique<ExactDuplicatesStage>();
}

}  // namespace crossover::curation
