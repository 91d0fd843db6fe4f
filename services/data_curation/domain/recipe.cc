#include "services/data_curation/domain/recipe.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/json/canonical.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::curation {
namespace {

using Json = nlohmann::json;

absl::Status InvalidRecipe(const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "RECIPE_INVALID", "recipe: " + what);
}

bool IsWhole(const Json& value) {
  return value.is_number_integer() ||
         (value.is_number_float() &&
          value.get<double>() == static_cast<double>(value.get<int64_t>()));
}

// Brings a value to the type of its default: JSON from a protobuf Struct has only doubles.
absl::StatusOr<Json> Coerce(const Json& value, const Json& like) {
  if (like.is_number_integer() && value.is_number() && IsWhole(value))
    return Json(value.get<int64_t>());
  if (like.is_number_float() && value.is_number()) return Json(value.get<double>());
  const bool same = value.type() == like.type();
  if (same && !like.is_number()) return value;
  const char* wanted = like.is_number_integer() ? "a whole number"
                       : like.is_number()       ? "a number"
                                                : like.type_name();
  return InvalidRecipe(absl::StrCat("must be ", wanted, ", not ", value.dump()));
}

absl::StatusOr<Json> ResolveParameters(const Stage& stage, const Json& given) {
  if (!given.is_object()) return RecipeError(stage.name(), "parameters must be an object");
  Json resolved = stage.defaults();
  for (const auto& [key, value] : given.items()) {
    if (!resolved.contains(key)) {
      std::vector<std::string> known;
      for (const auto& [name, unused] : resolved.items()) known.push_back(name);
      return RecipeError(stage.name(), absl::StrCat("no parameter `", key,
                                                    "`; known are: ", absl::StrJoin(known, ", ")));
    }
    absl::StatusOr<Json> coerced = Coerce(value, resolved[key]);
    if (!coerced.ok())
      return RecipeError(stage.name(), absl::StrCat("`", key, "` ", coerced.status().message()));
    resolved[key] = *std::move(coerced);
  }
  RETURN_IF_ERROR(stage.Check(resolved));
  return resolved;
}

Json ToJson(const Recipe& recipe) {
  Json value = {{"seed", recipe.seed}, {"stages", Json::array()}};
  for (const RecipeStage& stage : recipe.stages) {
    value["stages"].push_back({{"name", stage.name}, {"parameters", stage.parameters}});
  }
  return value;
}

}  // namespace

StageCatalogue::StageCatalogue() {
  stages_.push_back(NewSchemaStage());
  stages_.push_back(NewExactDuplicatesStage());
  stages_.push_back(NewLabelConflictsStage());
  stages_.push_back(NewNearDuplicatesStage());
  stages_.push_back(NewSplitStage());
}

const Stage* StageCatalogue::Find(std::string_view name) const {
  for (const auto& stage : stages_) {
    if (stage->name() == name) return stage.get();
  }
  return nullptr;
}

std::vector<std::string> StageCatalogue::Names() const {
  std::vector<std::string> names;
  for (const auto& stage : stages_) names.emplace_back(stage->name());
  return names;
}

Recipe DefaultRecipe() {
  Recipe recipe;
  for (const char* name :
       {"schema", "exact_duplicates", "label_conflicts", "near_duplicates", "split"}) {
    recipe.stages.push_back({.name = name});
  }
  return recipe;
}

absl::StatusOr<Recipe> Resolve(const Recipe& given, const StageCatalogue& catalogue) {
  Recipe recipe = given;
  if (recipe.stages.empty()) recipe.stages = DefaultRecipe().stages;
  std::set<std::string> seen;
  for (RecipeStage& stage : recipe.stages) {
    const Stage* known = catalogue.Find(stage.name);
    if (known == nullptr) {
      return InvalidRecipe(absl::StrCat("no stage `", stage.name,
                                        "`; known are: ", absl::StrJoin(catalogue.Names(), ", ")));
    }
    if (!seen.insert(stage.name).second)
      return InvalidRecipe(absl::StrCat("stage `", stage.name, "` is named twice"));
    ASSIGN_OR_RETURN(stage.parameters, ResolveParameters(*known, stage.parameters));
  }
  if (recipe.stages.back().name != "split") {
    return InvalidRecipe("the last stage must be `split`: rows without a split cannot be sealed");
  }
  return recipe;
}

absl::StatusOr<std::string> RecipeDigest(const Recipe& recipe, const StageCatalogue& catalogue) {
  Json value = ToJson(recipe);
  for (Json& stage : value["stages"]) {
    const Stage* known = catalogue.Find(stage["name"].get<std::string>());
    if (known == nullptr) return InvalidRecipe("not resolved");
    stage["code_version"] = known->code_version();
  }
  return CanonicalDigest(value);
}

std::string RecipeToJson(const Recipe& recipe) { return ToJson(recipe).dump(); }

absl::StatusOr<Recipe> RecipeFromJson(std::string_view json) {
  try {
    const Json value = Json::parse(json);
    Recipe recipe{.seed = value.value("seed", int64_t{0})};
    for (const Json& stage : value.at("stages")) {
      recipe.stages.push_back({stage.at("name"), stage.value("parameters", Json::object())});
    }
    return recipe;
  } catch (const Json::exception& e) {
    return InvalidRecipe(e.what());
  }
}

}  // namespace crossover::curation
