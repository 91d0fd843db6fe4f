// scheduler.v1.JobService: translates, and nothing else.
#pragma once

#include "common/list/filter.h"
#include "common/rpc/handler.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "services/training_scheduler/domain/scheduler.h"
#include "services/training_scheduler/domain/watch_hub.h"

namespace crossover::scheduler {

// Borrows everything.
class JobServiceImpl final : public v1::JobService::CallbackService {
 public:
  // `wake_watchers` is called when a stream has been added.
  JobServiceImpl(rpc::Handler& handler, Scheduler& scheduler, JobStore& jobs, WatchHub& watchers,
                 std::function<void()> wake_watchers)
      : handler_(handler),
        scheduler_(scheduler),
        jobs_(jobs),
        watchers_(watchers),
        wake_watchers_(std::move(wake_watchers)) {}

#define CROSSOVER_UNARY(method, Request, Response)                                                \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext* context,                          \
                                   const v1::Request* request, v1::Response* response) override { \
    return handler_.Unary(context, #method, [=, this](const rpc::Call&) {                         \
      return Do##method(*request, *response);                                                     \
    });                                                                                           \
  }
  CROSSOVER_UNARY(CreateJob, CreateJobRequest, Job)
  CROSSOVER_UNARY(GetJob, GetJobRequest, Job)
  CROSSOVER_UNARY(ListJobs, ListJobsRequest, ListJobsResponse)
  CROSSOVER_UNARY(UpdateJob, UpdateJobRequest, Job)
  CROSSOVER_UNARY(CancelJob, CancelJobRequest, Job)
  CROSSOVER_UNARY(PauseJob, PauseJobRequest, Job)
  CROSSOVER_UNARY(ResumeJob, ResumeJobRequest, Job)
  CROSSOVER_UNARY(RetryJob, RetryJobRequest, Job)
  CROSSOVER_UNARY(ListJobEvents, ListJobEventsRequest, ListJobEventsResponse)
  CROSSOVER_UNARY(ListMetricPoints, ListMetricPointsRequest, ListMetricPointsResponse)
  CROSSOVER_UNARY(ListCheckpoints, ListCheckpointsRequest, ListCheckpointsResponse)
  CROSSOVER_UNARY(GetCheckpoint, GetCheckpointRequest, Checkpoint)
  CROSSOVER_UNARY(UpdateCheckpoint, UpdateCheckpointRequest, Checkpoint)
  CROSSOVER_UNARY(CompareJobs, CompareJobsRequest, CompareJobsResponse)
  CROSSOVER_UNARY(EstimateJob, EstimateJobRequest, EstimateJobResponse)
  CROSSOVER_UNARY(GetWorker, GetWorkerRequest, Worker)
  CROSSOVER_UNARY(ListWorkers, ListWorkersRequest, ListWorkersResponse)
#undef CROSSOVER_UNARY

  grpc::ServerWriteReactor<v1::WatchJobResponse>* WatchJob(
      grpc::CallbackServerContext* context, const v1::WatchJobRequest* request) override;

 private:
  absl::Status DoCreateJob(const v1::CreateJobRequest& request, v1::Job& response);
  absl::Status DoGetJob(const v1::GetJobRequest& request, v1::Job& response);
  absl::Status DoListJobs(const v1::ListJobsRequest& request, v1::ListJobsResponse& response);
  absl::Status DoUpdateJob(const v1::UpdateJobRequest& request, v1::Job& response);
  absl::Status DoCancelJob(const v1::CancelJobRequest& request, v1::Job& response);
  absl::Status DoPauseJob(const v1::PauseJobRequest& request, v1::Job& response);
  absl::Status DoResumeJob(const v1::ResumeJobRequest& request, v1::Job& response);
  absl::Status DoRetryJob(const v1::RetryJobRequest& request, v1::Job& response);
  absl::Status DoListJobEvents(const v1::ListJobEventsRequest& request,
                               v1::ListJobEventsResponse& response);
  absl::Status DoListMetricPoints(const v1::ListMetricPointsRequest& request,
                                  v1::ListMetricPointsResponse& response);
  absl::Status DoListCheckpoints(const v1::ListCheckpointsRequest& request,
                                 v1::ListCheckpointsResponse& response);
  absl::Status DoGetCheckpoint(const v1::GetCheckpointRequest& request, v1::Checkpoint& response);
  absl::Status DoUpdateCheckpoint(const v1::UpdateCheckpointRequest& request,
                                  v1::Checkpoint& response);
  absl::Status DoCompareJobs(const v1::CompareJobsRequest& request,
                             v1::CompareJobsResponse& response);
  absl::Status DoEstimateJob(const v1::EstimateJobRequest& request,
                             v1::EstimateJobResponse& response);
  absl::Status DoGetWorker(const v1::GetWorkerRequest& request, v1::Worker& response);
  absl::Status DoListWorkers(const v1::ListWorkersRequest& request,
                             v1::ListWorkersResponse& response);

  // The job of a name, with its place in the queue.
  absl::StatusOr<Job> Find(std::string_view field, const std::string& name);
  absl::Status Answer(absl::StatusOr<Job> job, v1::Job& response);

  rpc::Handler& handler_;
  Scheduler& scheduler_;
  JobStore& jobs_;
  WatchHub& watchers_;
  const std::function<void()> wake_watchers_;
};

}  // namespace crossover::scheduler
