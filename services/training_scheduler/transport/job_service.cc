#include "services/training_scheduler/transport/job_service.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/json/digest.h"
#include "common/list/page.h"
#include "common/list/resource_name.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/kept_checkpoints.h"
#include "services/training_scheduler/domain/names.h"
#include "services/training_scheduler/domain/waiting.h"
#include "services/training_scheduler/transport/compare_jobs.h"
#include "services/training_scheduler/transport/convert.h"
#include "services/training_scheduler/transport/job_query.h"
#include "services/training_scheduler/transport/update_job.h"

namespace crossover::scheduler {
namespace {

constexpr char kCheckpointPattern[] = "projects/*/jobs/*/checkpoints/*";

// Keyset pages over a number: event sequences, steps.
struct NumberPage {
  int64_t after = 0;
  int64_t limit = 0;
};

absl::StatusOr<NumberPage> ToNumberPage(int64_t page_size, const std::string& token,
                                        const std::string& key) {
  NumberPage page;
  ASSIGN_OR_RETURN(page.limit, list::PageSize(page_size));
  ASSIGN_OR_RETURN(std::string position, list::ParsePageToken(token, key));
  if (!position.empty() && !absl::SimpleAtoi(position, &page.after)) {
    return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID", "page_token is damaged");
  }
  return page;
}

// Writes a watcher's items to its stream.
class StreamSink final : public WatchSink {
 public:
  explicit StreamSink(rpc::Stream<v1::WatchJobResponse> stream) : stream_(std::move(stream)) {}

  bool Send(const WatchItem& item) override {
    v1::WatchJobResponse response;
    response.set_resume_token(item.resume_token);
    if (const Job* job = std::get_if<Job>(&item.content)) {
      *response.mutable_snapshot() = ToProto(*job);
    } else if (const JobEvent* event = std::get_if<JobEvent>(&item.content)) {
      *response.mutable_event() = ToProto(*event);
    } else {
      *response.mutable_metric() = ToProto(std::get<MetricPoint>(item.content));
    }
    return stream_.Write(std::move(response));
  }
  bool Gone() override {
    if (!stream_.cancelled()) return false;
    stream_.Finish(absl::CancelledError("the client has gone"));
    return true;
  }
  void End(absl::Status status) override { stream_.Finish(std::move(status)); }

 private:
  rpc::Stream<v1::WatchJobResponse> stream_;
};

}  // namespace

absl::StatusOr<Job> JobServiceImpl::Find(std::string_view field, const std::string& name) {
  ASSIGN_OR_RETURN(JobName parsed, ParseJobName(field, name));
  return scheduler_.Get(parsed.project, parsed.job);
}

absl::Status JobServiceImpl::Answer(absl::StatusOr<Job> job, v1::Job& response) {
  RETURN_IF_ERROR(job.status());
  const bool queued = job->state == JobState::kQueued && !job->id.empty();
  if (queued) RETURN_IF_ERROR(Explain(jobs_, {&*job, 1}));
  response = ToProto(*job);
  if (queued) {
    ASSIGN_OR_RETURN(int64_t position, jobs_.QueuePosition(*job));
    response.set_queue_position(position - 1);  // jobs before it
  }
  return absl::OkStatus();
}

absl::Status JobServiceImpl::DoCreateJob(const v1::CreateJobRequest& request, v1::Job& response) {
  ASSIGN_OR_RETURN(std::string project, ParseProject("parent", request.parent()));
  ASSIGN_OR_RETURN(Job draft, FromProto(request.job(), project));
  ASSIGN_OR_RETURN(const RequestKey key, ToRequestKey(request.request_id(), request.job()));
  return Answer(scheduler_.Create(std::move(draft), key, request.validate_only()), response);
}

absl::Status JobServiceImpl::DoGetJob(const v1::GetJobRequest& request, v1::Job& response) {
  ASSIGN_OR_RETURN(Job job, Find("name", request.name()));
  RETURN_IF_ERROR(Answer(job, response));
  response.set_log_tail(job.log_tail);
  return absl::OkStatus();
}

absl::Status JobServiceImpl::DoListJobs(const v1::ListJobsRequest& request,
                                        v1::ListJobsResponse& response) {
  ASSIGN_OR_RETURN(const std::optional<JobQuery> query, ToQuery(request));
  if (!query.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<Job> jobs, jobs_.List(*query));
  RETURN_IF_ERROR(Explain(jobs_, jobs));
  for (const Job& job : jobs) *response.add_jobs() = ToProto(job);
  if (static_cast<int64_t>(jobs.size()) == query->limit) {
    response.set_next_page_token(NextJobsToken(request, jobs.back().id));
  }
  return absl::OkStatus();
}

absl::Status JobServiceImpl::DoUpdateJob(const v1::UpdateJobRequest& request, v1::Job& response) {
  ASSIGN_OR_RETURN(Job before, Find("job.name", request.job().name()));
  return Answer(jobs_.Update(before.id, [&](Job& job, absl::Time,
                                            Effects&) { return ApplyUpdate(request, job); }),
                response);
}

absl::Status JobServiceImpl::DoCancelJob(const v1::CancelJobRequest& request, v1::Job& response) {
  ASSIGN_OR_RETURN(JobName name, ParseJobName("name", request.name()));
  return Answer(scheduler_.CancelJob(name.project, name.job, request.reason()), response);
}

absl::Status JobServiceImpl::DoPauseJob(const v1::PauseJobRequest& request, v1::Job& response) {
  ASSIGN_OR_RETURN(JobName name, ParseJobName("name", request.name()));
  return Answer(scheduler_.PauseJob(name.project, name.job, request.reason()), response);
}

absl::Status JobServiceImpl::DoResumeJob(const v1::ResumeJobRequest& request, v1::Job& response) {
  ASSIGN_OR_RETURN(JobName name, ParseJobName("name", request.name()));
  return Answer(scheduler_.ResumeJob(name.project, name.job), response);
}

absl::Status JobServiceImpl::DoRetryJob(const v1::RetryJobRequest& request, v1::Job& response) {
  ASSIGN_OR_RETURN(JobName name, ParseJobName("name", request.name()));
  RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  RequestKey key;
  if (!request.request_id().empty()) {
    key = {request.request_id(), DigestOf(absl::StrCat("retry ", request.name()))};
  }
  return Answer(scheduler_.RetryJob(name.project, name.job, key), response);
}

absl::Status JobServiceImpl::DoListJobEvents(const v1::ListJobEventsRequest& request,
                                             v1::ListJobEventsResponse& response) {
  if (!request.filter().empty() ||
      !(request.order_by().empty() || request.order_by() == "sequence")) {
    return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                 "events are listed by sequence, without a filter");
  }
  ASSIGN_OR_RETURN(Job job, Find("parent", request.parent()));
  ASSIGN_OR_RETURN(NumberPage page,
                   ToNumberPage(request.page_size(), request.page_token(), request.parent()));
  ASSIGN_OR_RETURN(std::vector<JobEvent> events, jobs_.Events(job.id, page.after, page.limit));
  for (const JobEvent& event : events) *response.add_events() = ToProto(event);
  if (static_cast<int64_t>(events.size()) == page.limit) {
    response.set_next_page_token(
        list::MakePageToken(absl::StrCat(events.back().sequence), request.parent()));
  }
  return absl::OkStatus();
}

absl::Status JobServiceImpl::DoListMetricPoints(const v1::ListMetricPointsRequest& request,
                                                v1::ListMetricPointsResponse& response) {
  ASSIGN_OR_RETURN(Job job, Find("parent", request.parent()));
  const std::string key = absl::StrCat(request.parent(), "/", request.every_nth());
  ASSIGN_OR_RETURN(NumberPage page,
                   ToNumberPage(request.page_size() == 0 ? list::kMaxPageSize : request.page_size(),
                                request.page_token(), key));
  ASSIGN_OR_RETURN(std::vector<MetricPoint> points,
                   jobs_.Metrics(job.id, page.after, request.every_nth(), page.limit));
  for (const MetricPoint& point : points) *response.add_points() = ToProto(point);
  if (static_cast<int64_t>(points.size()) == page.limit) {
    response.set_next_page_token(list::MakePageToken(absl::StrCat(points.back().step), key));
  }
  return absl::OkStatus();
}

absl::Status JobServiceImpl::DoListCheckpoints(const v1::ListCheckpointsRequest& request,
                                               v1::ListCheckpointsResponse& response) {
  ASSIGN_OR_RETURN(Job job, Find("parent", request.parent()));
  ASSIGN_OR_RETURN(std::vector<Checkpoint> checkpoints, jobs_.Checkpoints(job.id));
  const std::optional<int64_t> best = BestStep(checkpoints);
  for (auto place = checkpoints.rbegin(); place != checkpoints.rend(); ++place) {
    *response.add_checkpoints() = ToProto(*place, job, place->step == best);
  }
  return absl::OkStatus();
}

absl::Status JobServiceImpl::DoGetCheckpoint(const v1::GetCheckpointRequest& request,
                                             v1::Checkpoint& response) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts,
                   ParseScoped(request.name(), kCheckpointPattern, "name"));
  ASSIGN_OR_RETURN(Job job, scheduler_.Get(parts[0], parts[1]));
  ASSIGN_OR_RETURN(std::vector<Checkpoint> checkpoints, jobs_.Checkpoints(job.id));
  for (const Checkpoint& checkpoint : checkpoints) {
    if (absl::StrCat(checkpoint.step) == parts[2]) {
      response = ToProto(checkpoint, job, checkpoint.step == BestStep(checkpoints));
      return absl::OkStatus();
    }
  }
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("no ", request.name()));
}

absl::Status JobServiceImpl::DoUpdateCheckpoint(const v1::UpdateCheckpointRequest& request,
                                                v1::Checkpoint& response) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts,
                   ParseScoped(request.checkpoint().name(), kCheckpointPattern, "checkpoint.name"));
  ASSIGN_OR_RETURN(Job job, scheduler_.Get(parts[0], parts[1]));
  int64_t step = 0;
  if (!absl::SimpleAtoi(parts[2], &step)) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                 "checkpoint.name ends in a step number");
  }
  for (const std::string& path : request.update_mask().paths()) {
    if (path != "pinned") {
      return Error(absl::StatusCode::kInvalidArgument, "UPDATE_MASK_INVALID",
                   absl::StrCat("update_mask has '", path, "'; only 'pinned' can change"));
    }
  }
  if (!request.checkpoint().etag().empty()) {
    v1::GetCheckpointRequest get;
    get.set_name(request.checkpoint().name());
    v1::Checkpoint now;
    RETURN_IF_ERROR(DoGetCheckpoint(get, now));
    if (now.etag() != request.checkpoint().etag()) {
      return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                   "the checkpoint has changed since it was read; read it, merge, try again");
    }
  }
  ASSIGN_OR_RETURN(Checkpoint pinned,
                   jobs_.PinCheckpoint(job.id, step, request.checkpoint().pinned()));
  ASSIGN_OR_RETURN(std::vector<Checkpoint> checkpoints, jobs_.Checkpoints(job.id));
  response = ToProto(pinned, job, step == BestStep(checkpoints));
  return absl::OkStatus();
}

absl::Status JobServiceImpl::DoCompareJobs(const v1::CompareJobsRequest& request,
                                           v1::CompareJobsResponse& response) {
  ASSIGN_OR_RETURN(std::string project, ParseProject("parent", request.parent()));
  if (request.names_size() < 2 || request.names_size() > 20) {
    return Error(
        absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
        absl::StrCat("names has ", request.names_size(), " jobs; 2 to 20 can be compared"));
  }
  std::vector<ComparedJob> jobs;
  for (const std::string& name : request.names()) {
    ASSIGN_OR_RETURN(Job job, Find("names", name));
    if (job.project != project) {
      return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                   absl::StrCat("names: ", name, " is not of ", request.parent()));
    }
    ASSIGN_OR_RETURN(std::vector<MetricPoint> points, jobs_.Metrics(job.id, 0, 1, 1'000'000));
    jobs.push_back({std::move(job), std::move(points)});
  }
  response = Compare(jobs);
  return absl::OkStatus();
}

absl::Status JobServiceImpl::DoEstimateJob(const v1::EstimateJobRequest& request,
                                           v1::EstimateJobResponse& response) {
  ASSIGN_OR_RETURN(std::string project, ParseProject("parent", request.parent()));
  ASSIGN_OR_RETURN(Job draft, FromProto(request.job(), project));
  ASSIGN_OR_RETURN(Plan plan, scheduler_.Estimate(draft));
  for (const FieldViolation& violation : plan.violations) {
    auto* out = response.add_violations();
    out->set_field(violation.field);
    out->set_description(violation.description);
  }
  if (!plan.violations.empty()) response.mutable_violations(0)->set_reason(plan.reason);
  for (const std::string& warning : plan.warnings) response.add_warnings(warning);
  if (!plan.violations.empty()) return absl::OkStatus();
  draft.resolved = plan.validated.resolved;
  draft.inputs = plan.validated.inputs;
  const Consumption& estimate = plan.validated.estimate;
  *response.mutable_estimate() = ToProto(estimate);
  *response.mutable_resolved_spec() = ResolvedToProto(draft);
  response.add_warnings(absl::StrCat("estimate of ", static_cast<int64_t>(estimate.seconds_lower),
                                     " to ", static_cast<int64_t>(estimate.seconds_upper),
                                     " seconds rests on: ", estimate.basis));
  return absl::OkStatus();
}

absl::Status JobServiceImpl::DoGetWorker(const v1::GetWorkerRequest& request,
                                         v1::Worker& response) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts,
                   list::ParseName(request.name(), "workers/*", "name"));
  std::string after;
  while (true) {
    ASSIGN_OR_RETURN(std::vector<WorkerRecord> page, jobs_.Workers(after, list::kMaxPageSize));
    for (const WorkerRecord& worker : page) {
      if (worker.name != parts[0]) continue;
      response = ToProto(worker);
      const std::string own = CallersProject();
      if (!own.empty() && worker.project != own) response.clear_job();
      return absl::OkStatus();
    }
    if (page.size() < static_cast<size_t>(list::kMaxPageSize)) break;
    after = page.back().name;
  }
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("no worker ", parts[0], " has asked for a job"));
}

absl::Status JobServiceImpl::DoListWorkers(const v1::ListWorkersRequest& request,
                                           v1::ListWorkersResponse& response) {
  ASSIGN_OR_RETURN(list::Filter filter, list::ParseFilter(request.filter(), {"state", "device"}));
  ASSIGN_OR_RETURN(int64_t limit, list::PageSize(request.page_size()));
  ASSIGN_OR_RETURN(std::string after, list::ParsePageToken(request.page_token(), request.filter()));
  ASSIGN_OR_RETURN(std::vector<WorkerRecord> workers, jobs_.Workers(after, limit));
  const std::string own = CallersProject();
  for (const WorkerRecord& worker : workers) {
    v1::Worker out = ToProto(worker);
    if (!own.empty() && worker.project != own) out.clear_job();  // others' jobs are not told
    const bool passes = list::Matches(filter, [&](const std::string& field) {
      return std::optional(field == "state" ? v1::Worker::State_Name(out.state())
                                            : worker.capabilities.device);
    });
    if (passes) *response.add_workers() = out;
  }
  if (static_cast<int64_t>(workers.size()) == limit) {
    response.set_next_page_token(list::MakePageToken(workers.back().name, request.filter()));
  }
  return absl::OkStatus();
}

grpc::ServerWriteReactor<v1::WatchJobResponse>* JobServiceImpl::WatchJob(
    grpc::CallbackServerContext* context, const v1::WatchJobRequest* request) {
  return handler_.ServerStream<v1::WatchJobResponse>(
      context, "WatchJob",
      [this, name = request->name(), token = request->resume_token()](
          const rpc::Call&, rpc::Stream<v1::WatchJobResponse> stream) {
        absl::StatusOr<Job> job = Find("name", name);
        absl::Status status = job.status();
        if (status.ok()) {
          status = watchers_.Watch(job->id, token, std::make_shared<StreamSink>(stream));
        }
        if (!status.ok()) {
          stream.Finish(std::move(status));
          return;
        }
        stream.OnCancel([stream] { stream.Finish(absl::CancelledError("the client has gone")); });
        wake_watchers_();
      });
}

}  // namespace crossover::scheduler
