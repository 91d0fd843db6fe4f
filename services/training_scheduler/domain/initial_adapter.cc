#include "services/training_scheduler/domain/initial_adapter.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/status_macros.h"

namespace crossover::scheduler {
namespace {

template <typename Container>
std::string ListOf(const Container& values) {
  return values.empty() ? "none" : absl::StrJoin(values, ", ");
}

std::string PatternOf(const std::map<std::string, int64_t>& pattern) {
  return pattern.empty() ? "none" : absl::StrJoin(pattern, ", ", absl::PairFormatter(": "));
}

template <typename T>
bool SameSet(const std::vector<T>& a, const std::vector<T>& b) {
  return std::set<T>(a.begin(), a.end()) == std::set<T>(b.begin(), b.end());
}

}  // namespace

absl::StatusOr<std::optional<MadeAdapter>> FindInitialAdapter(ModelStore& models, JobStore& jobs,
                                                              const std::string& project,
                                                              const std::string& digest) {
  const absl::StatusOr<ModelVersion> version = models.GetVersion(project, "", digest);
  if (version.ok() && version->kind == ModelKind::kAdapter)
    return MadeAdapter{version->digest, version->base_digest};
  if (!version.ok() && !absl::IsNotFound(version.status())) return version.status();
  return jobs.FindAdapter(project, digest);
}

std::vector<FieldViolation> CheckForm(const TrainingSpec& spec, const AdapterForm& form) {
  std::vector<FieldViolation> violations;
  const auto differs = [&](const char* field, const std::string& given, const std::string& is) {
    violations.push_back(
        {absl::StrCat("spec.training.adapter.", field),
         absl::StrCat("is ", given, "; the adapter to go on from has ", is,
                      ". Leave it out to train with the adapter's, or begin a fresh adapter")});
  };
  if (spec.rank.has_value() && *spec.rank != form.rank)
    differs("r", absl::StrCat(*spec.rank), absl::StrCat(form.rank));
  if (!spec.targets.empty() && !SameSet(spec.targets, form.targets))
    differs("targets", ListOf(spec.targets), ListOf(form.targets));
  const TechniqueSpec& techniques = spec.techniques;
  if (!techniques.layers.empty() && !SameSet(techniques.layers, form.layers))
    differs("layers", ListOf(techniques.layers), ListOf(form.layers));
  if (!techniques.rank_pattern.empty() && techniques.rank_pattern != form.rank_pattern)
    differs("rank_pattern", PatternOf(techniques.rank_pattern), PatternOf(form.rank_pattern));
  if (techniques.dora.has_value() && *techniques.dora != form.dora)
    differs("dora", *techniques.dora ? "true" : "false", form.dora ? "true" : "false");
  return violations;
}

}  // namespace crossover::scheduler
