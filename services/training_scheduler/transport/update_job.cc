#include "services/training_scheduler/transport/update_job.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/job_times.h"
#include "services/training_scheduler/domain/labels.h"
#include "services/training_scheduler/domain/names.h"
#include "services/training_scheduler/transport/convert.h"

namespace crossover::scheduler {
namespace {

std::vector<std::string> Paths(const v1::UpdateJobRequest& request) {
  if (request.update_mask().paths_size() > 0) {
    return {request.update_mask().paths().begin(), request.update_mask().paths().end()};
  }
  std::vector<std::string> set;
  const v1::Job& job = request.job();
  if (job.priority() != 0) set.push_back("priority");
  if (!job.queue().empty()) set.push_back("queue");
  if (!job.labels().empty()) set.push_back("labels");
  if (job.has_deadline()) set.push_back("deadline");
  if (!job.display_name().empty()) set.push_back("display_name");
  return set;
}

absl::Status Bad(std::string_view field, const std::string& description) {
  return Error(absl::StatusCode::kInvalidArgument,
               absl::StrCat("job.", std::string(field), " ", description),
               {.reason = "FIELD_INVALID",
                .metadata = {},
                .violations = {{absl::StrCat("job.", std::string(field)), description}}});
}

}  // namespace

absl::Status ApplyUpdate(const v1::UpdateJobRequest& request, Job& job) {
  const v1::Job& from = request.job();
  if (!from.etag().empty() && from.etag() != ToProto(job).etag()) {
    return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                 "the job has changed since it was read; read it, merge, try again");
  }
  for (const std::string& path : Paths(request)) {
    if (path == "priority") {
      if (from.priority() < -100 || from.priority() > 100) {
        return Bad(path, absl::StrCat("is ", from.priority(), "; must be between -100 and 100"));
      }
      job.priority = from.priority();
    } else if (path == "queue") {
      if (!IsSlug(from.queue())) return Bad(path, "must be a lower-case name");
      job.queue = from.queue();
    } else if (path == "labels") {
      job.labels = {from.labels().begin(), from.labels().end()};
      RETURN_IF_ERROR(LabelsError("job.labels", job.labels));
    } else if (path == "deadline") {
      job.deadline = from.has_deadline() ? std::optional(FromProto(from.deadline())) : std::nullopt;
      for (const FieldViolation& violation : CheckTimes(job)) {
        return Bad(violation.field, violation.description);
      }
    } else if (path == "display_name") {
      job.display_name = from.display_name();
    } else {
      return Error(
          absl::StatusCode::kInvalidArgument, "UPDATE_MASK_INVALID",
          absl::StrCat("update_mask has '", path,
                       "'; priority, queue, labels, deadline and display_name can change"));
    }
  }
  return absl::OkStatus();
}

}  // namespace crossover::scheduler
