#include "services/trainer_worker/domain/job_context.h"

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::worker {

Stop AskedToStop(JobContext& context, bool* checkpoint_asked) {
  if (context.keeper.lost()) return Stop::kLost;
  if (context.draining.load()) return Stop::kDrain;
  switch (context.keeper.TakeDirective()) {
    case Directive::kPause:
      return Stop::kPause;
    case Directive::kCancel:
      return Stop::kCancel;
    case Directive::kRelease:
      return Stop::kPreempt;
    case Directive::kCheckpoint:
      if (checkpoint_asked != nullptr) *checkpoint_asked = true;
      return Stop::kNone;
    case Directive::kContinue:
      return Stop::kNone;
  }
  return Stop::kNone;
}

absl::Status Insist(JobContext& context, const std::function<absl::Status()>& call) {
  while (true) {
    if (context.keeper.lost()) {
      return Error(absl::StatusCode::kAborted, "LEASE_LOST", "the lease is no longer trusted");
    }
    const absl::Status status = call();
    if (status.ok() || IsFinal(status)) return status;
    context.deps.logger.Warning("scheduler_unavailable",
                                {{"job", context.job().name}, {"error", status}});
    context.deps.clock.SleepFor(absl::Milliseconds(500));
  }
}

absl::StatusOr<std::string> PutFolder(JobContext& context, std::string_view kind,
                                      const std::filesystem::path& folder,
                                      const std::string& holder) {
  ASSIGN_OR_RETURN(std::string digest, context.deps.blobs.PutFolder(kind, folder));
  RETURN_IF_ERROR(context.deps.blobs.Pin(digest, holder));
  return digest;
}

void Unpin(JobContext& context, const std::string& digest, const std::string& holder) {
  const absl::Status status = context.deps.blobs.Unpin(digest, holder);
  if (status.ok()) return;
  context.deps.logger.Warning("unpin_failed",
                              {{"digest", digest}, {"holder", holder}, {"error", status}});
}

}  // namespace crossover::worker
