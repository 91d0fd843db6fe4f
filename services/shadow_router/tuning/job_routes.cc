// /v1/fine_tuning/jobs.
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/tuning/job_request.h"
#include "services/shadow_router/tuning/openai_json.h"
#include "services/shadow_router/tuning/route_support.h"
#include "services/shadow_router/tuning/training_data.h"
#include "services/shadow_router/tuning/tuning_routes.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;
using scheduler_pb::Job;
using JobsStub = scheduler_pb::JobService::Stub;

// A base as it is; a fine-tuned model is trained on: its base, from its adapter.
absl::Status SetModel(TuningBackend& backend, const std::string& project, const std::string& model,
                      Job& job) {
  job.set_base_model(model);
  if (!absl::StartsWith(model, "ft:")) return absl::OkStatus();
  scheduler_pb::GetModelVersionRequest request;
  request.set_name(absl::StrCat(project, "/models/-/versions/", model));
  const auto version = rpc::Invoke(
      *backend.models, &scheduler_pb::ModelService::Stub::GetModelVersion, request, Repeatable());
  if (absl::IsNotFound(version.status())) {
    return Error(absl::StatusCode::kInvalidArgument,
                 absl::StrCat("'model' is '", model, "', which does not exist"),
                 {.reason = "BASE_MODEL_UNKNOWN",
                  .metadata = {},
                  .violations = {{"model", "does not exist"}}});
  }
  RETURN_IF_ERROR(version.status());
  job.set_base_model(version->base_digest());
  job.mutable_spec()->mutable_training()->set_initial_adapter(version->digest());
  return absl::OkStatus();
}

absl::StatusOr<Json> CreateJob(const TuningRoutes& routes, const RouteCall& call) {
  ASSIGN_OR_RETURN(TuningRequest request, ParseTuningRequest(call.request.body));
  scheduler_pb::CreateJobRequest create;
  create.set_parent(call.project);
  create.set_request_id(RequestIdOf(call));
  Job& job = *create.mutable_job() = std::move(request.job);
  RETURN_IF_ERROR(SetModel(routes.backend, call.project, request.model, job));
  ASSIGN_OR_RETURN(*job.mutable_dataset_version(),
                   SealTrainingData(routes.backend, {.project = call.project,
                                                     .training_file = request.training_file,
                                                     .validation_file = request.validation_file,
                                                     .preference = request.preference}));
  (*job.mutable_labels())[kTrainingFileLabel] = request.training_file;
  if (!request.validation_file.empty()) {
    (*job.mutable_labels())[kValidationFileLabel] = request.validation_file;
  }
  const absl::StatusOr<Job> created =
      rpc::Invoke(*routes.backend.jobs, &JobsStub::CreateJob, create);
  if (!created.ok()) return InOpenAiTerms(created.status());
  return JobJson(*created, routes.backend.clock.Now());
}

absl::StatusOr<Job> FindJob(const TuningRoutes& routes, const RouteCall& call) {
  scheduler_pb::GetJobRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), JobNameOf(call.project, PathPart(call, "job")));
  return rpc::Invoke(*routes.backend.jobs, &JobsStub::GetJob, request, Repeatable());
}

absl::StatusOr<Json> GetJob(const TuningRoutes& routes, const RouteCall& call) {
  ASSIGN_OR_RETURN(const Job job, FindJob(routes, call));
  return JobJson(job, routes.backend.clock.Now());
}

// OK if the query says nothing about metadata but `metadata[k]=v`.
absl::Status CheckMetadataQuery(const RouteCall& call) {
  for (const auto& [key, value] : call.request.QueryAll()) {
    if (!absl::StartsWith(key, "metadata")) continue;
    if (absl::StartsWith(key, "metadata[") && absl::EndsWith(key, "]")) continue;
    return Error(absl::StatusCode::kInvalidArgument, "'metadata' must be metadata[key]=value",
                 {.reason = "FIELD_INVALID",
                  .metadata = {},
                  .violations = {{"metadata", "must be metadata[key]=value"}}});
  }
  return absl::OkStatus();
}

// Compared here: a key may hold what a filter's field may not.
bool HasMetadata(const Job& job, const RouteCall& call) {
  for (const auto& [key, value] : call.request.QueryAll()) {
    if (!absl::StartsWith(key, "metadata[")) continue;
    const auto found = job.labels().find(key.substr(9, key.size() - 10));
    if (found == job.labels().end() || found->second != value) return false;
  }
  return true;
}

absl::StatusOr<Json> ListJobs(const TuningRoutes& routes, const RouteCall& call) {
  ASSIGN_OR_RETURN(const size_t limit, LimitOf(call, 20, 1000));
  RETURN_IF_ERROR(CheckMetadataQuery(call));
  scheduler_pb::ListJobsRequest request;
  request.set_parent(call.project);
  request.set_page_size(1000);
  const absl::Time now = routes.backend.clock.Now();
  std::vector<Json> jobs;
  do {
    ASSIGN_OR_RETURN(const scheduler_pb::ListJobsResponse page,
                     rpc::Invoke(*routes.backend.jobs, &JobsStub::ListJobs, request, Repeatable()));
    for (const Job& job : page.jobs()) {
      if (IsFineTuning(job) && HasMetadata(job, call)) jobs.push_back(JobJson(job, now));
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return ListJson(jobs, AfterOf(call), limit);
}

template <typename Request>
absl::StatusOr<Json> Verb(const TuningRoutes& routes, const RouteCall& call,
                          grpc::Status (JobsStub::*method)(grpc::ClientContext*, const Request&,
                                                           Job*)) {
  Request request;
  ASSIGN_OR_RETURN(*request.mutable_name(), JobNameOf(call.project, PathPart(call, "job")));
  ASSIGN_OR_RETURN(const Job job, rpc::Invoke(*routes.backend.jobs, method, request));
  return JobJson(job, routes.backend.clock.Now());
}

absl::StatusOr<Json> ListEvents(const TuningRoutes& routes, const RouteCall& call) {
  ASSIGN_OR_RETURN(const size_t limit, LimitOf(call, 20, 1000));
  ASSIGN_OR_RETURN(const Job job, FindJob(routes, call));
  std::vector<scheduler_pb::JobEvent> events;
  scheduler_pb::ListJobEventsRequest of_events;
  of_events.set_parent(job.name());
  of_events.set_page_size(1000);
  do {
    ASSIGN_OR_RETURN(const auto page, rpc::Invoke(*routes.backend.jobs, &JobsStub::ListJobEvents,
                                                  of_events, Repeatable()));
    events.insert(events.end(), page.events().begin(), page.events().end());
    of_events.set_page_token(page.next_page_token());
  } while (!of_events.page_token().empty());
  std::vector<scheduler_pb::MetricPoint> points;
  scheduler_pb::ListMetricPointsRequest of_points;
  of_points.set_parent(job.name());
  do {
    ASSIGN_OR_RETURN(const auto page, rpc::Invoke(*routes.backend.jobs, &JobsStub::ListMetricPoints,
                                                  of_points, Repeatable()));
    points.insert(points.end(), page.points().begin(), page.points().end());
    of_points.set_page_token(page.next_page_token());
  } while (!of_points.page_token().empty());
  return ListJson(EventsJson(job, events, points), AfterOf(call), limit);
}

absl::StatusOr<Json> ListCheckpoints(const TuningRoutes& routes, const RouteCall& call) {
  ASSIGN_OR_RETURN(const size_t limit, LimitOf(call, 10, 1000));
  ASSIGN_OR_RETURN(const Job job, FindJob(routes, call));
  scheduler_pb::ListCheckpointsRequest request;
  request.set_parent(job.name());
  ASSIGN_OR_RETURN(const auto listed, rpc::Invoke(*routes.backend.jobs, &JobsStub::ListCheckpoints,
                                                  request, Repeatable()));
  std::vector<Json> checkpoints;  // last step first
  for (const scheduler_pb::Checkpoint& checkpoint : listed.checkpoints()) {
    checkpoints.push_back(CheckpointJson(checkpoint, job));
  }
  return ListJson(checkpoints, AfterOf(call), limit);
}

}  // namespace

void AddJobRoutes(http::Server& server, TuningRoutes& routes) {
  using Answerer = absl::StatusOr<Json> (*)(const TuningRoutes&, const RouteCall&);
  const auto add = [&](const char* method, const char* path, Access access, Answerer answer,
                       absl::Duration timeout = absl::Seconds(60)) {
    AddJsonRoute(
        server, routes, method, path, access,
        [&routes, answer](const RouteCall& call) { return answer(routes, call); }, timeout);
  };
  add("POST", "/v1/fine_tuning/jobs", Access::kCall, &CreateJob, routes.options.create_timeout);
  add("GET", "/v1/fine_tuning/jobs", Access::kRead, &ListJobs);
  add("GET", "/v1/fine_tuning/jobs/{job}", Access::kRead, &GetJob);
  add("GET", "/v1/fine_tuning/jobs/{job}/events", Access::kRead, &ListEvents);
  add("GET", "/v1/fine_tuning/jobs/{job}/checkpoints", Access::kRead, &ListCheckpoints);
  add("POST", "/v1/fine_tuning/jobs/{job}/cancel", Access::kCall,
      [](const TuningRoutes& all, const RouteCall& call) {
        return Verb(all, call, &JobsStub::CancelJob);
      });
  add("POST", "/v1/fine_tuning/jobs/{job}/pause", Access::kCall,
      [](const TuningRoutes& all, const RouteCall& call) {
        return Verb(all, call, &JobsStub::PauseJob);
      });
  add("POST", "/v1/fine_tuning/jobs/{job}/resume", Access::kCall,
      [](const TuningRoutes& all, const RouteCall& call) {
        return Verb(all, call, &JobsStub::ResumeJob);
      });
}

void AddTuningRoutes(http::Server& server, TuningRoutes& routes) {
  AddFileRoutes(server, routes);
  AddUploadRoutes(server, routes);
  AddJobRoutes(server, routes);
}

}  // namespace crossover::router
