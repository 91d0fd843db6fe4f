#include "services/trainer_worker/domain/job_context.h"

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::worker {

absl::Status Insist(JobContext& context, const std::function<absl::Status()>& call) {
  while (true) {
    if (context.keeper.lost()) {
      return Error(absl::StatusCode::kAborted, "LEASE_LOST", "the lease is no longer trusted");
    }
    const absl::Status status = call();
    if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return status;
    context.deps.logger.Warning("scheduler_unavailable",
                                {{"job", context.job().name}, {"error", status}});
    context.deps.clock.SleepFor(absl::Milliseconds(500));
  }
}

absl::StatusOr<std::string> PutFolder(JobContext& context, std::string_view kind,
                                      const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(std::string digest, context.deps.blobs.PutFolder(kind, folder));
  RETURN_IF_ERROR(context.deps.blobs.Pin(digest, context.job().name));
  return digest;
}

}  // namespace crossover::worker
