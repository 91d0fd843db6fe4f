// Between the scheduler's domain values and its protos. Nothing else.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "crossover/scheduler/v1/job.pb.h"
#include "crossover/scheduler/v1/lease_service.pb.h"
#include "crossover/scheduler/v1/model.pb.h"
#include "crossover/scheduler/v1/worker.pb.h"
#include "services/training_scheduler/domain/job.h"
#include "services/training_scheduler/domain/lease.h"
#include "services/training_scheduler/domain/leasing.h"
#include "services/training_scheduler/domain/model.h"
#include "services/training_scheduler/domain/worker_record.h"

namespace crossover::scheduler {

namespace pb = ::crossover::scheduler::v1;

// Changes with every update (of a job: but for progress): the microsecond of the last one.
std::string EtagOf(absl::Time update_time);
google::protobuf::Timestamp ToProto(absl::Time time);
google::protobuf::Duration ToProto(absl::Duration duration);
absl::Time FromProto(const google::protobuf::Timestamp& time);
absl::Duration FromProto(const google::protobuf::Duration& duration);

// What a client may set of a job. INVALID_ARGUMENT names fields whose form is wrong (ranges are the
// planner's business).
absl::StatusOr<Job> FromProto(const pb::Job& job, const std::string& project);
pb::Job ToProto(const Job& job);
pb::JobSpec ResolvedToProto(const Job& job);
pb::Resources ToProto(const Consumption& consumption);
Consumption FromProto(const pb::Resources& resources);

pb::JobEvent ToProto(const JobEvent& event);
pb::MetricPoint ToProto(const MetricPoint& point);
MetricPoint FromProto(const pb::MetricPoint& point);
pb::Checkpoint ToProto(const Checkpoint& checkpoint, const Job& job, bool best = false);

Heartbeat FromProto(const pb::HeartbeatRequest& request);
Outcome FromProto(const pb::CompleteJobRequest& request);
LeaseRequest FromProto(const pb::LeaseJobRequest& request);
pb::LeaseJobResponse ToProto(const GrantedLease& granted, const LeaseOptions& options);

pb::Worker ToProto(const WorkerRecord& worker);
pb::ModelVersion ToProto(const ModelVersion& version);
pb::Model ToProto(const Model& model);

}  // namespace crossover::scheduler
