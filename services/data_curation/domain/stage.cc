#include "services/data_curation/domain/stage.h"

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::curation {

absl::Status RecipeError(std::string_view stage, std::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "RECIPE_INVALID",
               absl::StrCat("stage `", ToAbsl(stage), "`: ", ToAbsl(what)));
}

absl::Status ForEachKept(const StageInput& input,
                         const std::function<absl::Status(int64_t, const dataset::Row&)>& visit) {
  for (int64_t i = 0; i < input.rows.size(); ++i) {
    if (i % 256 == 0 && input.cancelled && input.cancelled())
      return absl::CancelledError("the run was cancelled");
    if (!input.states[i].kept()) continue;
    ASSIGN_OR_RETURN(const dataset::Row row, input.rows.Get(i));
    RETURN_IF_ERROR(visit(i, row));
  }
  return absl::OkStatus();
}

}  // namespace crossover::curation
