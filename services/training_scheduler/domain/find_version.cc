#include "services/training_scheduler/domain/find_version.h"

#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/model_errors.h"
#include "services/training_scheduler/domain/names.h"

namespace crossover::scheduler {

absl::StatusOr<ModelVersion> FindVersion(ModelStore& models, const std::string& project,
                                         const std::string& text) {
  if (!IsOfProject(project, text)) return NoVersion(project, "-", text);
  if (text.find('/') == std::string::npos) {
    // A digest or an alias; else a model's slug.
    absl::StatusOr<ModelVersion> version = models.GetVersion(project, "", text);
    if (!absl::IsNotFound(version.status())) return version;
    ASSIGN_OR_RETURN(Model model, models.GetModel(project, text));
    return models.GetVersion(project, text, model.current_digest);
  }
  ASSIGN_OR_RETURN(ModelName name, ParseModelName("base_model", text));
  if (!name.version.empty()) return models.GetVersion(project, name.model, name.version);
  ASSIGN_OR_RETURN(Model model, models.GetModel(project, name.model));
  return models.GetVersion(project, name.model, model.current_digest);
}

}  // namespace crossover::scheduler
