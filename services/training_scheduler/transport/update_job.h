// UpdateJob's mask.
#pragma once

#include "absl/status/status.h"
#include "crossover/scheduler/v1/job_service.pb.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

// Copies the masked fields (priority, queue, labels, deadline, display_name; an empty mask means
// those that are set). ABORTED ETAG_MISMATCH, INVALID_ARGUMENT UPDATE_MASK_INVALID or
// FIELD_INVALID.
absl::Status ApplyUpdate(const v1::UpdateJobRequest& request, Job& job);

}  // namespace crossover::scheduler
