// The ordered stages of a run and their parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "services/data_curation/domain/stage.h"

namespace crossover::curation {

struct RecipeStage {
  std::string name;
  nlohmann::json parameters = nlohmann::json::object();
};

struct Recipe {
  std::vector<RecipeStage> stages;  // empty = the default recipe
  int64_t seed = 0;
};

// Every stage there is, by name.
class StageCatalogue {
 public:
  StageCatalogue();

  // Null if there is none of this name.
  const Stage* Find(std::string_view name) const;
  std::vector<std::string> Names() const;

 private:
  std::vector<std::unique_ptr<Stage>> stages_;
};

// schema, exact_duplicates, label_conflicts, near_duplicates, split with their defaults.
Recipe DefaultRecipe();

// Sets every parameter. InvalidArgument RECIPE_INVALID: unknown stage or parameter (with the known
// ones), wrong type, value out of range, a stage twice, `split` missing or not last.
absl::StatusOr<Recipe> Resolve(const Recipe& recipe, const StageCatalogue& catalogue);

// `sha256:…` over stages, parameters, seed and the code version of each stage. `recipe` is
// resolved.
absl::StatusOr<std::string> RecipeDigest(const Recipe& recipe, const StageCatalogue& catalogue);

// JSON {"stages":[{"name","parameters"}],"seed"}.
std::string RecipeToJson(const Recipe& recipe);
absl::StatusOr<Recipe> RecipeFromJson(std::string_view json);

}  // namespace crossover::curation
