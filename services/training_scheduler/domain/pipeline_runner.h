// Moves pipelines on: creates what their steps describe and looks at what became of it.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/training_scheduler/domain/pipeline_store.h"
#include "services/training_scheduler/domain/step_service.h"

namespace crossover::scheduler {

// Borrowed; a kind that is missing is not served here.
using StepServices = std::map<StepKind, StepService*>;

// FAILED_PRECONDITION DEPENDENCY_MISSING for a kind without a service, else what its Check says;
// with `names` also what its CheckNames says.
absl::Status CheckSteps(const StepServices& services, const Pipeline& pipeline, bool names = false);

// Thread-safe: several threads and schedulers may run pipelines at once. Killed between any two of
// its calls, another goes on: a step is marked RUNNING before anything is created, and what is
// created is found again by its request_id.
class PipelineRunner {
 public:
  // `pause`: between two looks at a step that runs.
  PipelineRunner(PipelineStore& store, StepServices services, absl::Duration pause)
      : store_(store), services_(std::move(services)), pause_(pause) {}

  // Does what is next for one pipeline that is due. False: none is. A step's failure is no error of
  // this function.
  absl::StatusOr<bool> RunOne();

 private:
  absl::Status Tend(const Pipeline& pipeline, size_t step);
  absl::Status Begin(const Pipeline& pipeline, size_t step, StepService& service);
  absl::Status MakeGoOn(const Pipeline& pipeline, size_t step, StepService& service);
  absl::Status LookAt(const Pipeline& pipeline, size_t step, StepService& service);
  // Stores one of pipeline.h's findings about the step, if it is still true.
  absl::Status Store(const Pipeline& pipeline, const std::function<bool(Pipeline&)>& finding);
  absl::Status End(const Pipeline& pipeline, size_t step, PipelineState state,
                   const std::string& text);
  // FAILED with the error, or OK for one that may be over the next time.
  absl::Status EndOrWait(const Pipeline& pipeline, size_t step, const absl::Status& error);

  PipelineStore& store_;
  const StepServices services_;
  const absl::Duration pause_;
};

}  // namespace crossover::scheduler
