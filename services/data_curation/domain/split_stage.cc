// Stage `split`: every row gets train, validation or test. Rows that are near-duplicates of each
// other or belong to the same group never lie in different splits.
#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/row_key.h"
#include "services/data_curation/domain/stage.h"
#include "services/data_curation/domain/union_find.h"

namespace crossover::curation {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 3> kSplits = {dataset::kTrain, dataset::kValidation,
                                                     dataset::kTest};
using Shares = std::array<double, 3>;

// Rows that must stay together.
struct Component {
  std::vector<int64_t> rows;
  std::string stratum;  // answer of its first row, when answers are labels
  std::string order;    // pseudo-random and stable: hash of seed and first row's digest
  std::string split;    // explicit; "" = to be chosen
};

class SplitStage final : public Stage {
 public:
  std::string_view name() const override { return "split"; }
  int code_version() const override { return 1; }

  Json defaults() const override {
    return {{"train", 0.8},
            {"validation", 0.1},
            {"test", 0.1},
            {"stratify", true},   // the same mix of answers in every split, when answers are labels
            {"leakage", "drop"},  // drop: rows given to train leave when a test row is their twin |
                                  // fail
            {"min_rows", 10}};
  }

  absl::Status Check(const Json& parameters) const override {
    double sum = 0;
    for (std::string_view split : kSplits) {
      const double share = parameters[std::string(split)];
      if (!(share >= 0 && share <= 1))
        return RecipeError(name(), absl::StrCat("`", std::string(split), "` must be 0 to 1"));
      sum += share;
    }
    if (sum < 0.999 || sum > 1.001)
      return RecipeError(name(), "train, validation and test must add up to 1");
    const std::string leakage = parameters["leakage"];
    if (leakage != "drop" && leakage != "fail")
      return RecipeError(name(), "`leakage` must be drop or fail");
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<RowChange>> Run(const StageInput& input) const override {
    std::vector<RowChange> changes;
    ASSIGN_OR_RETURN(std::vector<Component> components, Components(input));
    RETURN_IF_ERROR(KeepExplicit(input, components, changes));
    RETURN_IF_ERROR(CheckEnoughRows(input, components));
    Assign(input.parameters, components);
    for (const Component& component : components) {
      for (int64_t i : component.rows) changes.push_back({.row = i, .split = component.split});
    }
    return changes;
  }

 private:
  // Joins rows that share a cluster or any part of their group.
  absl::StatusOr<std::vector<Component>> Components(const StageInput& input) const {
    UnionFind sets(input.rows.size());
    std::map<std::string, int64_t> first;
    const auto join = [&](std::string_view kind, const std::string& value, int64_t i) {
      if (value.empty()) return;
      const auto [entry, is_new] =
          first.try_emplace(absl::StrCat(std::string(kind), ":", value), i);
      if (!is_new) sets.Union(entry->second, i);
    };
    std::vector<int64_t> kept;
    std::map<int64_t, std::string> answers;
    std::map<std::string, int64_t> distinct;
    RETURN_IF_ERROR(ForEachKept(input, [&](int64_t i, const dataset::Row& row) {
      join("cluster", input.states[i].cluster, i);
      join("conversation", row.group.conversation, i);
      join("user", row.group.user, i);
      join("template", row.group.template_id, i);
      join("source", row.group.source, i);
      kept.push_back(i);
      ++distinct[answers[i] = AnswerKey(row)];
      return absl::OkStatus();
    }));
    // Answers are labels when there are few of them; free text would make every row a stratum of
    // its own.
    const bool labels = input.parameters["stratify"] && distinct.size() * 5 <= kept.size();
    std::map<int64_t, Component> by_root;
    for (int64_t i : kept) {
      Component& component = by_root[sets.Find(i)];
      if (component.rows.empty()) {
        component.stratum = labels ? answers[i] : "";
        component.order =
            DigestOf(absl::StrCat(input.seed, ":", ToDigest(input.rows.RowDigest(i))));
      }
      component.rows.push_back(i);
    }
    std::vector<Component> components;
    for (auto& [root, component] : by_root) components.push_back(std::move(component));
    return components;
  }

  // A component that holds rows of two explicit splits leaks: the rows that may be trained on
  // leave.
  absl::Status KeepExplicit(const StageInput& input, std::vector<Component>& components,
                            std::vector<RowChange>& changes) const {
    for (Component& component : components) {
      for (int64_t i : component.rows) {
        const std::string& split = input.states[i].split;
        if (split.empty()) continue;
        if (component.split.empty() || SplitRank(split) < SplitRank(component.split))
          component.split = split;
      }
      if (component.split.empty()) continue;
      std::vector<int64_t> staying;
      for (int64_t i : component.rows) {
        const std::string& split = input.states[i].split;
        if (split.empty() || split == component.split) {
          staying.push_back(i);
          continue;
        }
        if (input.parameters["leakage"] == "fail") return Overlap(input, i, component);
        changes.push_back({.row = i, .drop = "leaks_into_" + component.split});
      }
      component.rows = std::move(staying);
    }
    return absl::OkStatus();
  }

  absl::Status Overlap(const StageInput& input, int64_t row, const Component& component) const {
    ASSIGN_OR_RETURN(const dataset::Row leaking, input.rows.Get(row));
    return Error(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat("line ", leaking.origin.line, " of the ", input.states[row].split,
                     " rows belongs to the same cluster or group as a row of ", component.split,
                     ": remove it, or set `leakage` of stage split to drop"),
        {.reason = "SPLITS_OVERLAP", .metadata = {{"line", absl::StrCat(leaking.origin.line)}}});
  }

  absl::Status CheckEnoughRows(const StageInput& input,
                               const std::vector<Component>& components) const {
    int64_t rows = 0;
    for (const Component& component : components)
      rows += static_cast<int64_t>(component.rows.size());
    const int64_t needed = input.parameters["min_rows"];
    if (rows >= needed) return absl::OkStatus();
    std::map<std::string, int64_t> dropped;
    for (const RowState& state : input.states) {
      if (!state.kept()) ++dropped[state.drop_reason];
    }
    std::vector<std::string> reasons;
    for (const auto& [reason, count] : dropped) reasons.push_back(absl::StrCat(reason, " ", count));
    const std::string lost =
        reasons.empty() ? "nothing was dropped" : "dropped: " + absl::StrJoin(reasons, ", ");
    return Error(absl::StatusCode::kFailedPrecondition,
                 absl::StrCat(rows, " rows are left of ", input.rows.size(), " (", lost,
                              "); training needs at least ", needed,
                              ": add rows, or loosen the stage that dropped them"),
                 {.reason = "TOO_FEW_ROWS", .metadata = {{"rows", absl::StrCat(rows)}}});
  }

  // Splits that some rows name themselves get no others; the rest share what is left.
  static Shares SharesFor(const Json& parameters, const std::vector<Component>& components) {
    std::set<std::string> named;
    for (const Component& component : components) named.insert(component.split);
    Shares shares{};
    double sum = 0;
    for (size_t s = 0; s < kSplits.size(); ++s) {
      const std::string split(kSplits[s]);
      const bool open = split == dataset::kTrain || !named.contains(split);
      shares[s] = open ? parameters[split].get<double>() : 0;
      sum += shares[s];
    }
    if (sum == 0) return {1, 0, 0};
    for (double& share : shares) share /= sum;
    return shares;
  }

  // Systematic sampling: components in order of stratum and hash, each into the split that is
  // furthest behind its share. Every stratum then has the shares to within a component, also the
  // small ones together.
  static void Assign(const Json& parameters, std::vector<Component>& components) {
    const Shares shares = SharesFor(parameters, components);
    std::vector<Component*> open;
    for (Component& component : components) {
      if (component.split.empty()) open.push_back(&component);
    }
    std::sort(open.begin(), open.end(), [](const Component* a, const Component* b) {
      return std::tie(a->stratum, a->order) < std::tie(b->stratum, b->order);
    });
    Shares assigned{};
    double seen = 0;
    for (Component* component : open) {
      const auto size = static_cast<double>(component->rows.size());
      seen += size;
      size_t best = 0;
      for (size_t s = 1; s < kSplits.size(); ++s) {
        if (shares[s] * seen - assigned[s] > shares[best] * seen - assigned[best]) best = s;
      }
      assigned[best] += size;
      component->split = kSplits[best];
    }
  }
};

}  // namespace

std::unique_ptr<Stage> NewSplitStage() { return std::make_unique<SplitStage>(); }

}  // namespace crossover::curation
