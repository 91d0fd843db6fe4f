// Steps that are jobs of this scheduler: JOB and EXPORT.
#pragma once

#include "services/training_scheduler/domain/scheduler.h"
#include "services/training_scheduler/domain/step_service.h"

namespace crossover::scheduler {

// Thread-safe. Borrows the scheduler. A resource is the JSON form of scheduler.v1.Job; the output
// of an export is its artifact's digest, that of any other job the name of its ModelVersion, or its
// adapter's digest if it published none.
class JobSteps final : public StepService {
 public:
  // `exports`: jobs of kind EXPORT only; otherwise all others only.
  JobSteps(Scheduler& scheduler, bool exports) : scheduler_(scheduler), exports_(exports) {}

  absl::Status Check(const std::string& project, const std::string& resource) override;
  absl::Status CheckNames(const std::string& project, const std::string& resource) override;
  absl::StatusOr<std::string> Create(const std::string& project, const std::string& resource,
                                     const std::string& request_id) override;
  absl::StatusOr<StepProgress> Look(const std::string& name) override;
  absl::Status Cancel(const std::string& name) override;
  absl::StatusOr<bool> GoOn(const std::string& name, const std::string& request_id) override;

 private:
  Scheduler& scheduler_;
  const bool exports_;
};

}  // namespace crossover::scheduler
