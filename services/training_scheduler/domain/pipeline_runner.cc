#include "services/training_scheduler/domain/pipeline_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/context/request_context.h"
#include "common/id/uuid7.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::scheduler {
namespace {

// The same for the same attempt of a step, whoever runs it: a UUID of version 8 (RFC 9562 §5.8).
std::string StepRequestId(const Pipeline& pipeline, size_t index) {
  const PipelineStep& step = pipeline.steps[index];
  const Sha256Bytes hash =
      Sha256Of(absl::StrCat("pipeline ", pipeline.id, "/", step.id, "/", step.attempt));
  Uuid uuid;
  std::copy_n(hash.begin(), uuid.bytes.size(), uuid.bytes.begin());
  uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0f) | 0x80);
  uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid.ToUuid();
}

bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status) || absl::IsCancelled(status) || absl::IsAborted(status);
}

}  // namespace

absl::Status CheckSteps(const StepServices& services, const Pipeline& pipeline, bool names) {
  for (size_t i = 0; i < pipeline.steps.size(); ++i) {
    const PipelineStep& step = pipeline.steps[i];
    const std::string field = absl::StrCat("pipeline.steps[", i, "]");
    const auto service = services.find(step.kind);
    if (service == services.end()) {
      return Error(absl::StatusCode::kFailedPrecondition, "DEPENDENCY_MISSING",
                   absl::StrCat(field, " is a ", std::string(Name(step.kind)),
                                ", and this scheduler was not told where that service is"));
    }
    absl::Status status = service->second->Check(pipeline.project, step.resource);
    if (status.ok() && names) status = service->second->CheckNames(pipeline.project, step.resource);
    RETURN_IF_ERROR(WithContext(status, absl::StrCat(field, ".resource")));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> PipelineRunner::RunOne() {
  ASSIGN_OR_RETURN(std::optional<Pipeline> pipeline, store_.Claim(pause_));
  if (!pipeline.has_value()) return false;
  const std::optional<size_t> step = DueStep(*pipeline);
  if (!step.has_value()) return true;
  // Calls to other services are made for the pipeline's project.
  RequestContext context;
  context.project = absl::StrCat("projects/", pipeline->project);
  context.caller = absl::StrCat("pipelines/", pipeline->id);
  const ScopedContext scope(std::move(context));
  RETURN_IF_ERROR(WithContext(Tend(*pipeline, *step), absl::StrCat("pipeline ", pipeline->id)));
  return true;
}

absl::Status PipelineRunner::Store(const Pipeline& pipeline,
                                   const std::function<bool(Pipeline&)>& finding) {
  return store_
      .Update(pipeline.project, pipeline.id,
              [&](Pipeline& mine) -> absl::StatusOr<bool> { return finding(mine); })
      .status();
}

absl::Status PipelineRunner::End(const Pipeline& pipeline, size_t step, PipelineState state,
                                 const std::string& text) {
  return Store(pipeline, [&](Pipeline& mine) {
    return StepEnded(mine, step, pipeline.steps[step].attempt, state, text);
  });
}

absl::Status PipelineRunner::EndOrWait(const Pipeline& pipeline, size_t step,
                                       const absl::Status& error) {
  if (MayPass(error)) return absl::OkStatus();
  // Nothing was created by a call that failed for good.
  const bool cancelling = pipeline.state == PipelineState::kCancelled;
  return End(pipeline, step, cancelling ? PipelineState::kCancelled : PipelineState::kFailed,
             std::string(error.message()));
}

absl::Status PipelineRunner::Tend(const Pipeline& pipeline, size_t index) {
  const PipelineStep& step = pipeline.steps[index];
  if (step.state == PipelineState::kPending) {
    return Store(pipeline, [&](Pipeline& mine) { return StepBegun(mine, index, step.attempt); });
  }
  const auto service = services_.find(step.kind);
  if (service == services_.end()) {
    return End(pipeline, index, PipelineState::kFailed,
               absl::StrCat("this scheduler was not told where the service of a ",
                            std::string(Name(step.kind)), " is"));
  }
  if (step.created.empty()) return Begin(pipeline, index, *service->second);
  if (step.go_on) return MakeGoOn(pipeline, index, *service->second);
  return LookAt(pipeline, index, *service->second);
}

absl::Status PipelineRunner::Begin(const Pipeline& pipeline, size_t index, StepService& service) {
  const absl::StatusOr<std::string> resource = ResourceOf(pipeline, index);
  const absl::StatusOr<std::string> name =
      resource.ok() ? service.Create(pipeline.project, *resource, StepRequestId(pipeline, index))
                    : resource;
  if (!name.ok()) return EndOrWait(pipeline, index, name.status());
  return Store(pipeline, [&](Pipeline& mine) {
    return StepCreated(mine, index, pipeline.steps[index].attempt, *name);
  });
}

absl::Status PipelineRunner::MakeGoOn(const Pipeline& pipeline, size_t index,
                                      StepService& service) {
  const PipelineStep& step = pipeline.steps[index];
  const absl::StatusOr<StepProgress> progress = service.Look(step.created);
  bool kept = progress.ok();
  if (!progress.ok() && !absl::IsNotFound(progress.status())) {
    return EndOrWait(pipeline, index, progress.status());
  }
  const bool ended = kept && (progress->state == PipelineState::kFailed ||
                              progress->state == PipelineState::kCancelled);
  if (ended) {
    const absl::StatusOr<bool> goes_on = service.GoOn(step.created, StepRequestId(pipeline, index));
    if (!goes_on.ok()) return EndOrWait(pipeline, index, goes_on.status());
    kept = *goes_on;
  }
  return Store(pipeline,
               [&](Pipeline& mine) { return StepGoesOn(mine, index, step.attempt, kept); });
}

absl::Status PipelineRunner::LookAt(const Pipeline& pipeline, size_t index, StepService& service) {
  const PipelineStep& step = pipeline.steps[index];
  const bool cancelling = pipeline.state == PipelineState::kCancelled;
  const absl::StatusOr<StepProgress> progress = service.Look(step.created);
  if (!progress.ok()) return EndOrWait(pipeline, index, progress.status());
  switch (progress->state) {
    case PipelineState::kSucceeded:
    case PipelineState::kFailed:
      return End(pipeline, index, progress->state, progress->text);
    case PipelineState::kCancelled:
      return cancelling ? End(pipeline, index, PipelineState::kCancelled, "")
                        : End(pipeline, index, PipelineState::kFailed,
                              absl::StrCat(step.created, " was cancelled"));
    default:
      break;
  }
  if (cancelling) {
    const absl::Status cancelled = service.Cancel(step.created);
    return MayPass(cancelled) ? absl::OkStatus() : cancelled;
  }
  return Store(pipeline, [&](Pipeline& mine) {
    return StepWaits(mine, index, step.attempt, progress->text);
  });
}

}  // namespace crossover::scheduler
