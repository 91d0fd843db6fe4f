#include "services/training_scheduler/domain/made_model.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "services/training_scheduler/domain/names.h"

namespace crossover::scheduler {
namespace {

constexpr size_t kLongestSlug = 63;
constexpr size_t kIdCharacters = 8;  // as in the alias

}  // namespace

void NameMade(std::optional<ModelKind> known, ModelVersion& version, Job& job) {
  if (job.kind == JobKind::kExport || !known.has_value() || *known == version.kind) return;
  const std::string end =
      absl::StrCat("-", job.id.substr(job.id.size() - std::min(job.id.size(), kIdCharacters)));
  version.model.resize(std::min(version.model.size(), kLongestSlug - end.size()));
  version.model += end;
  job.outputs.model_version = FormatModelName({version.project, version.model, version.digest});
}

}  // namespace crossover::scheduler
