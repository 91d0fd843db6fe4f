// Stage `label_conflicts`: rows with the same input and different answers. No model can learn both.
#include <map>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "common/json/digest.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/row_key.h"
#include "services/data_curation/domain/stage.h"

namespace crossover::curation {
namespace {

using Json = nlohmann::json;

class LabelConflictsStage final : public Stage {
 public:
  std::string_view name() const override { return "label_conflicts"; }
  int code_version() const override { return 1; }

  Json defaults() const override {
    return {{"action", "drop"},  // drop: all rows of the conflict | majority: keep the answer most
                                 // rows give | flag
            {"normalise", false}};  // inputs count as equal when they differ only in case, width,
                                    // punctuation, white space
  }

  absl::Status Check(const Json& parameters) const override {
    const std::string action = parameters["action"];
    if (action == "drop" || action == "majority" || action == "flag") return absl::OkStatus();
    return RecipeError(name(), "`action` must be drop, majority or flag");
  }

  absl::StatusOr<std::vector<RowChange>> Run(const StageInput& input) const override {
    const bool normalise = input.parameters["normalise"];
    absl::flat_hash_map<std::string, std::vector<int64_t>> by_input;
    RETURN_IF_ERROR(ForEachKept(input, [&](int64_t i, const dataset::Row& row) {
      const DigestBytes& digest = input.rows.InputDigest(i);
      by_input[normalise ? NormalisedInput(row) : std::string(digest.begin(), digest.end())]
          .push_back(i);
      return absl::OkStatus();
    }));
    std::map<int64_t, RowChange>
        changes;  // by row, so that the result does not depend on the hash map's order
    for (const auto& [key, rows] : by_input) {
      if (rows.size() > 1) RETURN_IF_ERROR(Decide(input, rows, changes));
    }
    std::vector<RowChange> out;
    for (auto& [row, change] : changes) out.push_back(std::move(change));
    return out;
  }

 private:
  absl::Status Decide(const StageInput& input, const std::vector<int64_t>& rows,
                      std::map<int64_t, RowChange>& changes) const {
    std::map<std::string, std::vector<int64_t>> by_answer;
    for (int64_t i : rows) {
      ASSIGN_OR_RETURN(const dataset::Row row, input.rows.Get(i));
      by_answer[AnswerKey(row)].push_back(i);
    }
    if (by_answer.size() < 2) return absl::OkStatus();
    const std::string action = input.parameters["action"];
    const std::vector<int64_t>* majority =
        action == "majority" ? MajorityOf(by_answer, rows.size()) : nullptr;
    for (const auto& [answer, same] : by_answer) {
      for (int64_t i : same) {
        const int64_t other = OtherThan(by_answer, same);
        const double share = static_cast<double>(same.size()) / static_cast<double>(rows.size());
        RowChange change{.row = i,
                         .flags = {{std::string(name()), "label_conflict", share,
                                    ToDigest(input.rows.RowDigest(other))}}};
        if (action != "flag" && &same != majority) change.drop = "label_conflict";
        changes[i] = std::move(change);
      }
    }
    return absl::OkStatus();
  }

  // The answer that more than half of the rows give; null if none does.
  static const std::vector<int64_t>* MajorityOf(
      const std::map<std::string, std::vector<int64_t>>& by_answer, size_t rows) {
    for (const auto& [answer, same] : by_answer) {
      if (same.size() * 2 > rows) return &same;
    }
    return nullptr;
  }

  // A row that gives another answer than `same`: the evidence.
  static int64_t OtherThan(const std::map<std::string, std::vector<int64_t>>& by_answer,
                           const std::vector<int64_t>& same) {
    for (const auto& [answer, rows] : by_answer) {
      if (&rows != &same) return rows[0];
    }
    return same[0];
  }
};

}  // namespace

std::unique_ptr<Stage> NewLabelConflictsStage() { return std::make_unique<LabelConflictsStage>(); }

}  // namespace crossover::curation
