// What ListJobs and CreateJob have to read from their requests.
#pragma once

#include <google/protobuf/message.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "crossover/scheduler/v1/job_service.pb.h"
#include "services/training_scheduler/domain/job_store.h"

namespace crossover::scheduler {

// nullopt: nothing can match. INVALID_ARGUMENT: FILTER_INVALID, PAGE_TOKEN_INVALID, FIELD_INVALID.
absl::StatusOr<std::optional<JobQuery>> ToQuery(const v1::ListJobsRequest& request);
// The token of the page after `last`.
std::string NextJobsToken(const v1::ListJobsRequest& request, const JobId& last);

// Digest of a request's content, the same for equal messages.
std::string PayloadHash(const google::protobuf::Message& message);
// A request's id and a digest of what it asks for; without an id, neither. INVALID_ARGUMENT
// FIELD_INVALID for an id that is no UUID.
absl::StatusOr<RequestKey> ToRequestKey(const std::string& request_id,
                                        const google::protobuf::Message& content);

}  // namespace crossover::scheduler
