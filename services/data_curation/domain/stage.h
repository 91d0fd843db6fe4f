// A stage of a recipe: looks at the kept rows and says what to change. Pure: the same rows, state,
// parameters and seed give the same changes, which is what makes its result cacheable.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/data_curation/domain/row_state.h"
#include "services/data_curation/domain/row_table.h"

namespace crossover::curation {

struct StageInput {
  const RowTable& rows;
  const RowStates& states;
  const nlohmann::json& parameters;  // resolved: every parameter is there and has the right type
  uint64_t seed = 0;
  // Asked every few hundred rows; a stage returns Cancelled when it is true.
  std::function<bool()> cancelled;
};

// Stateless and thread-safe.
class Stage {
 public:
  virtual ~Stage() = default;

  virtual std::string_view name() const = 0;
  // Raised when the same input would give another result than before.
  virtual int code_version() const = 0;
  // Every parameter with its default; also tells the types.
  virtual nlohmann::json defaults() const = 0;
  // InvalidArgument RECIPE_INVALID for values out of range.
  virtual absl::Status Check(const nlohmann::json& /*parameters*/) const {
    return absl::OkStatus();
  }

  virtual absl::StatusOr<std::vector<RowChange>> Run(const StageInput& input) const = 0;
};

// InvalidArgument RECIPE_INVALID: "stage `near_duplicates`: threshold …".
absl::Status RecipeError(std::string_view stage, std::string_view what);

// Calls `visit` for each kept row; stops at its first error, or with Cancelled.
absl::Status ForEachKept(const StageInput& input,
                         const std::function<absl::Status(int64_t, const dataset::Row&)>& visit);

std::unique_ptr<Stage> NewSchemaStage();
std::unique_ptr<Stage> NewExactDuplicatesStage();
std::unique_ptr<Stage> NewLabelConflictsStage();
std::unique_ptr<Stage> NewNearDuplicatesStage();
std::unique_ptr<Stage> NewSplitStage();

}  // namespace crossover::curation
