// What a pipeline asks of the service that does a kind of step.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/training_scheduler/domain/pipeline.h"

namespace crossover::scheduler {

// Where something created is. RUNNING with a text: it waits for somebody (paused, review).
struct StepProgress {
  PipelineState state = PipelineState::kRunning;
  std::string text;  // SUCCEEDED: output. FAILED: why.
};

// Thread-safe. Implementations in transport/: jobs of this scheduler, runs of data_curation and of
// evaluation; FakeStepService in tests. UNAVAILABLE and DEADLINE_EXCEEDED mean "ask again later"; a
// call that is repeated does no harm.
class StepService {
 public:
  virtual ~StepService() = default;

  // Whether the text has the form of a resource of this kind in this project; values may be
  // references still.
  virtual absl::Status Check(const std::string& project, const std::string& resource) = 0;
  // Whether what a resource of that form names is there, and would be taken. What refers to an
  // earlier step passes: it is known once that has run.
  virtual absl::Status CheckNames(const std::string& project, const std::string& resource) = 0;
  // Creates it, once per request_id (a UUID), and returns its name.
  virtual absl::StatusOr<std::string> Create(const std::string& project,
                                             const std::string& resource,
                                             const std::string& request_id) = 0;
  virtual absl::StatusOr<StepProgress> Look(const std::string& name) = 0;
  // No error if it has ended already.
  virtual absl::Status Cancel(const std::string& name) = 0;
  // Makes what has failed or was cancelled go on where it stopped. False: it cannot; create
  // another.
  virtual absl::StatusOr<bool> GoOn(const std::string& name, const std::string& request_id) = 0;
};

}  // namespace crossover::scheduler
