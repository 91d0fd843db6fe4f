// Between the worker's domain values and scheduler.v1. Nothing else.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "crossover/scheduler/v1/lease_service.pb.h"
#include "services/trainer_worker/domain/usage_sampler.h"
#include "services/trainer_worker/domain/work.h"

namespace crossover::worker {

namespace pb = ::crossover::scheduler::v1;

// UNIMPLEMENTED for a kind, format or option that this worker does not know.
absl::StatusOr<LeasedJob> FromProto(const pb::LeaseJobResponse& response);
pb::HeartbeatRequest ToProto(const LeasedJob& job, const Report& report);
BeatReply FromProto(const pb::HeartbeatResponse& response);
pb::MetricPoint ToProto(const Metric& metric);
pb::CompleteJobRequest ToProto(const LeasedJob& job, const Ending& ending, const Report& last);
pb::ReleaseLeaseRequest::Reason ToProto(ReleaseReason reason);
pb::WorkerUsage ToProto(const DeviceUsage& usage);

}  // namespace crossover::worker
