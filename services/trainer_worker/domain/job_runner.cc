#include "services/trainer_worker/domain/job_runner.h"

#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/trainer_worker/domain/attempts_folder.h"
#include "services/trainer_worker/domain/failure.h"
#include "services/trainer_worker/domain/file_error.h"
#include "services/trainer_worker/domain/pins.h"
#include "services/trainer_worker/domain/sweep.h"
#include "services/trainer_worker/domain/training.h"

namespace crossover::worker {
namespace {

std::string FolderName(const LeasedJob& job) {
  return absl::StrCat(job.name.substr(job.name.rfind('/') + 1), "-", job.epoch);
}

ReleaseReason ReasonOf(Stop stop) {
  switch (stop) {
    case Stop::kPause:
      return ReleaseReason::kPaused;
    case Stop::kCancel:
      return ReleaseReason::kCancelled;
    case Stop::kPreempt:
      return ReleaseReason::kPreempted;
    default:
      return ReleaseReason::kDrain;
  }
}

absl::Status Stopped() { return absl::CancelledError("the export was asked to stop"); }

const char* Name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kCompleted:
      return "completed";
    case Outcome::kFailed:
      return "failed";
    case Outcome::kReleased:
      return "released";
    case Outcome::kLost:
      return "lost";
    case Outcome::kFollowed:
      return "followed";
  }
  return "unknown";
}

}  // namespace

Outcome JobRunner::Run(const LeasedJob& job, const std::atomic<bool>& draining) {
  deps_.logger.Info("job_started",
                    {{"job", job.name}, {"epoch", job.epoch}, {"resume_step", job.resume_step}});
  deps_.board.Change([&](JobStatus& status) {
    status = {.job = job.name, .loaded_base = status.loaded_base, .step = job.resume_step};
    status.checkpoint_step = job.resume_step;
  });
  LeaseKeeper keeper(deps_.client, deps_.clock, job, options_.keeper);
  JobContext context{deps_, keeper, draining,
                     AttemptsFolder(options_.work_folder) / FolderName(job)};
  std::error_code error;
  std::filesystem::remove_all(context.folder, error);
  std::filesystem::create_directories(context.folder, error);
  given_back_ = false;
  const Outcome outcome = error ? Fail(context, FileError("make", context.folder, error.value()))
                          : job.is_export ? RunExport(context)
                                          : RunTraining(context);
  std::filesystem::remove_all(context.folder, error);
  deps_.metrics.Ended(Name(outcome));
  deps_.board.Change([&](JobStatus& status) {
    if (!given_back_) status.job.clear();
    status.tokens_per_second = 0;
    status.loaded_base = deps_.engine.LoadedBase();
  });
  deps_.logger.Info("job_ended",
                    {{"job", job.name}, {"epoch", job.epoch}, {"outcome", Name(outcome)}});
  return outcome;
}

Outcome JobRunner::RunTraining(JobContext& context) {
  const bool sweep = !context.job().sweep.trials.empty();
  absl::StatusOr<TrainingEnd> end = sweep ? Sweep(context).Run() : Training(context).Run();
  if (!end.ok()) return Fail(context, end.status());
  if (end->followed) {
    given_back_ = end->stop != Stop::kNone && end->stop != Stop::kEarly;  // by rank 0 for all
    return Outcome::kFollowed;
  }
  switch (end->stop) {
    case Stop::kNone:
    case Stop::kEarly:
    case Stop::kHopeless: {
      const Outcome outcome = Complete(context, end->ending);
      if (outcome != Outcome::kCompleted) return outcome;
      const std::string& job = context.job().name;
      for (const std::string& digest : end->bests) Unpin(context, digest, BestHolder(job));
      for (const std::string& digest : end->trial_bests) Unpin(context, digest, TrialHolder(job));
      return outcome;
    }
    case Stop::kLost:
      return Outcome::kLost;
    default:
      return Release(context, ReasonOf(end->stop), end->checkpoint_step);
  }
}

absl::StatusOr<Ending> JobRunner::Export(JobContext& context, const std::function<bool()>& asked) {
  const LeasedJob& job = context.job();
  const absl::Duration started = deps_.clock.SteadyNow();
  Ending ending;
  if (asked()) return Stopped();
  if (job.model_export.format == ExportFormat::kPeft) {
    // The adapter already is what is asked for; reading its manifest proves that it is there.
    RETURN_IF_ERROR(deps_.blobs.ReadManifest(job.adapter_digest).status());
    ending.artifact_digest = job.adapter_digest;
  } else {
    ExportInputs inputs{.base = {},
                        .base_digest = job.base_digest,
                        .adapter = context.folder / "adapter",
                        .adapter_digest = job.adapter_digest};
    ASSIGN_OR_RETURN(inputs.base, deps_.blobs.LocalTree(job.base_digest));
    RETURN_IF_ERROR(deps_.blobs.Materialise(job.adapter_digest, inputs.adapter));
    if (asked()) return Stopped();
    const std::filesystem::path folder = context.folder / "export";
    RETURN_IF_ERROR(deps_.engine.Export(job.model_export, inputs, folder));
    if (asked()) return Stopped();
    ASSIGN_OR_RETURN(ending.artifact_digest, deps_.blobs.PutFolder("export", folder));
  }
  RETURN_IF_ERROR(deps_.blobs.Pin(ending.artifact_digest, OutputHolder(job.name)));
  ending.peak_memory_bytes = deps_.engine.PeakMemory();
  ending.seconds = absl::ToDoubleSeconds(deps_.clock.SteadyNow() - started);
  return ending;
}

Outcome JobRunner::RunExport(JobContext& context) {
  context.keeper.TellPhase("publishing");
  Stop stop = Stop::kNone;
  const auto asked = [&] {
    stop = AskedToStop(context, nullptr);
    return stop != Stop::kNone;
  };
  absl::StatusOr<Ending> ending = Export(context, asked);
  if (stop == Stop::kLost) return Outcome::kLost;
  if (stop != Stop::kNone) return Release(context, ReasonOf(stop), 0);
  return ending.ok() ? Complete(context, *ending) : Fail(context, ending.status());
}

Outcome JobRunner::Complete(JobContext& context, const Ending& ending) {
  const Report last = context.keeper.Stop();
  const absl::Status status =
      Insist(context, [&] { return deps_.client.Complete(context.job(), ending, last); });
  if (!status.ok()) {
    deps_.logger.Warning("complete_refused", {{"job", context.job().name}, {"error", status}});
    return Outcome::kLost;
  }
  return ending.failure.has_value() ? Outcome::kFailed : Outcome::kCompleted;
}

Outcome JobRunner::Fail(JobContext& context, const absl::Status& why) {
  if (HasReason(why, "LEASE_LOST") || context.keeper.lost()) return Outcome::kLost;
  deps_.logger.Error("job_failed", {{"job", context.job().name}, {"error", why}});
  if (!Leads(context.job())) return FailAsFollower(context, why);
  context.keeper.TellLog(why.ToString());
  Ending ending;
  ending.failure = FailureOf(why);
  return Complete(context, ending);
}

Outcome JobRunner::FailAsFollower(JobContext& context, const absl::Status& why) {
  // Rank 0 misses this one, or has not met it either, and tells.
  if (context.met || HasReason(why, "PEER_LOST")) {
    AwaitLeader(context);
    return Outcome::kLost;
  }
  // It would be awaited for a minute.
  const Failure failure = FailureOf(why);
  const Outcome released = Release(context, ReleaseReason::kCrashed, 0,
                                   absl::StrCat(failure.reason, ": ", failure.message));
  given_back_ = false;
  return released == Outcome::kLost ? released : Outcome::kFailed;
}

Outcome JobRunner::Release(JobContext& context, ReleaseReason reason, int64_t checkpoint_step,
                           const std::string& how) {
  // A release carries no report, so what was said goes first.
  const absl::Status said = Insist(context, [&] { return context.keeper.Flush(); });
  if (!said.ok()) return Outcome::kLost;
  context.keeper.Stop();
  const absl::Status status = Insist(
      context, [&] { return deps_.client.Release(context.job(), reason, checkpoint_step, how); });
  given_back_ = status.ok();
  if (status.ok()) return Outcome::kReleased;
  deps_.logger.Warning("release_refused", {{"job", context.job().name}, {"error", status}});
  return Outcome::kLost;
}

}  // namespace crossover::worker
