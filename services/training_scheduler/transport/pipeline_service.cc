#include "services/training_scheduler/transport/pipeline_service.h"

#include <google/protobuf/util/json_util.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/names.h"
#include "services/training_scheduler/transport/convert.h"
#include "services/training_scheduler/transport/enums.h"
#include "services/training_scheduler/transport/job_query.h"

namespace crossover::scheduler {
namespace {

constexpr char kPipelinePattern[] = "projects/*/pipelines/*";
constexpr size_t kLabelPrefix = sizeof("labels.") - 1;

v1::Pipeline PipelineToProto(const Pipeline& pipeline) {
  v1::Pipeline out;
  out.set_name(absl::StrCat("projects/", pipeline.project, "/pipelines/", pipeline.id));
  *out.mutable_create_time() = ToProto(pipeline.create_time);
  *out.mutable_update_time() = ToProto(pipeline.update_time);
  out.set_etag(EtagOf(pipeline.update_time));
  out.mutable_labels()->insert(pipeline.labels.begin(), pipeline.labels.end());
  out.set_state(ToEnum<v1::Pipeline::State>(Name(pipeline.state)));
  for (const PipelineStep& step : pipeline.steps) {
    v1::Pipeline::Step& to = *out.add_steps();
    to.set_id(step.id);
    to.set_kind(ToEnum<v1::Pipeline::StepKind>(Name(step.kind)));
    // It was a Struct before it was stored.
    (void)google::protobuf::util::JsonStringToMessage(step.resource, to.mutable_resource());
    to.set_state(ToEnum<v1::Pipeline::State>(Name(step.state)));
    to.set_created(step.created);
    to.set_output(step.output);
    to.set_error(step.error);
  }
  return out;
}

absl::StatusOr<Pipeline> PipelineFromProto(const v1::Pipeline& pipeline,
                                           const std::string& project) {
  Pipeline out;
  out.project = project;
  out.labels = {pipeline.labels().begin(), pipeline.labels().end()};
  for (const v1::Pipeline::Step& from : pipeline.steps()) {
    PipelineStep step;
    step.id = from.id();
    const std::optional<StepKind> kind = FromEnum(from.kind(), &ParseStepKind);
    if (!kind.has_value()) {
      return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                   absl::StrCat("pipeline.steps[", out.steps.size(),
                                "].kind is required: CURATION_RUN, JOB, EVALUATION_RUN or EXPORT"));
    }
    step.kind = *kind;
    if (from.has_resource()) {
      (void)google::protobuf::util::MessageToJsonString(from.resource(), &step.resource);
    }
    out.steps.push_back(std::move(step));
  }
  return out;
}

// Writes a watcher's pipeline to its stream.
class PipelineStream final : public PipelineSink {
 public:
  explicit PipelineStream(rpc::Stream<v1::WatchPipelineResponse> stream)
      : stream_(std::move(stream)) {}

  bool Send(const Pipeline& pipeline, const std::string& resume_token) override {
    v1::WatchPipelineResponse response;
    response.set_resume_token(resume_token);
    *response.mutable_pipeline() = PipelineToProto(pipeline);
    return stream_.Write(std::move(response));
  }
  bool Gone() override {
    if (!stream_.cancelled()) return false;
    stream_.Finish(absl::CancelledError("the client has gone"));
    return true;
  }
  void End(absl::Status status) override { stream_.Finish(std::move(status)); }

 private:
  rpc::Stream<v1::WatchPipelineResponse> stream_;
};

}  // namespace

absl::Status PipelineServiceImpl::DoCreatePipeline(const v1::CreatePipelineRequest& request,
                                                   v1::Pipeline& response) {
  ASSIGN_OR_RETURN(std::string project, ParseProject("parent", request.parent()));
  ASSIGN_OR_RETURN(Pipeline pipeline, PipelineFromProto(request.pipeline(), project));
  RETURN_IF_ERROR(CheckPipeline(pipeline));
  RETURN_IF_ERROR(CheckSteps(steps_, pipeline, request.validate_only()));
  ASSIGN_OR_RETURN(const RequestKey key, ToRequestKey(request.request_id(), request.pipeline()));
  if (request.validate_only()) {
    response = PipelineToProto(pipeline);
    response.clear_name();
    response.clear_state();  // there is none that could run
    return absl::OkStatus();
  }
  pipeline.id = ids_.NextId();
  ASSIGN_OR_RETURN(pipeline, store_.Insert(pipeline, key));
  response = PipelineToProto(pipeline);
  due_();
  return absl::OkStatus();
}

absl::Status PipelineServiceImpl::DoGetPipeline(const v1::GetPipelineRequest& request,
                                                v1::Pipeline& response) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts,
                   ParseScoped(request.name(), kPipelinePattern, "name"));
  ASSIGN_OR_RETURN(Pipeline pipeline, store_.Get(parts[0], parts[1]));
  response = PipelineToProto(pipeline);
  return absl::OkStatus();
}

absl::Status PipelineServiceImpl::DoListPipelines(const v1::ListPipelinesRequest& request,
                                                  v1::ListPipelinesResponse& response) {
  const std::string key = absl::StrCat(request.parent(), "\n", request.filter());
  PipelineQuery query;
  ASSIGN_OR_RETURN(query.project, ParseProject("parent", request.parent()));
  ASSIGN_OR_RETURN(query.limit, list::PageSize(request.page_size()));
  ASSIGN_OR_RETURN(query.before, list::ParsePageToken(request.page_token(), key));
  ASSIGN_OR_RETURN(list::Filter filter, list::ParseFilter(request.filter(), {"state", "labels.*"}));
  RETURN_IF_ERROR(list::RequireEqualityOnly(filter));
  for (const list::Condition& condition : filter) {
    if (condition.field != "state") {
      query.labels[condition.field.substr(kLabelPrefix)] = condition.value;
      continue;
    }
    query.state = ParsePipelineState(condition.value);
    if (!query.state.has_value()) {
      return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                   absl::StrCat("filter: state has no value '", condition.value, "'"));
    }
  }
  if (!request.order_by().empty() && request.order_by() != "create_time desc") {
    return Error(
        absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
        absl::StrCat("order_by is '", request.order_by(), "'; 'create_time desc' is served"));
  }
  ASSIGN_OR_RETURN(std::vector<Pipeline> pipelines, store_.List(query));
  for (const Pipeline& pipeline : pipelines) *response.add_pipelines() = PipelineToProto(pipeline);
  if (static_cast<int64_t>(pipelines.size()) == query.limit) {
    response.set_next_page_token(list::MakePageToken(pipelines.back().id, key));
  }
  return absl::OkStatus();
}

absl::Status PipelineServiceImpl::Verb(const std::string& name, absl::Status (*verb)(Pipeline&),
                                       v1::Pipeline& response) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts, ParseScoped(name, kPipelinePattern, "name"));
  ASSIGN_OR_RETURN(Pipeline pipeline,
                   store_.Update(parts[0], parts[1], [&](Pipeline& mine) -> absl::StatusOr<bool> {
                     const PipelineState before = mine.state;
                     RETURN_IF_ERROR(verb(mine));
                     return mine.state != before;
                   }));
  response = PipelineToProto(pipeline);
  due_();
  return absl::OkStatus();
}

absl::Status PipelineServiceImpl::DoCancelPipeline(const v1::CancelPipelineRequest& request,
                                                   v1::Pipeline& response) {
  return Verb(request.name(), &scheduler::CancelPipeline, response);
}

absl::Status PipelineServiceImpl::DoResumePipeline(const v1::ResumePipelineRequest& request,
                                                   v1::Pipeline& response) {
  return Verb(request.name(), &scheduler::ResumePipeline, response);
}

grpc::ServerWriteReactor<v1::WatchPipelineResponse>* PipelineServiceImpl::WatchPipeline(
    grpc::CallbackServerContext* context, const v1::WatchPipelineRequest* request) {
  return handler_.ServerStream<v1::WatchPipelineResponse>(
      context, "WatchPipeline",
      [this, name = request->name(), token = request->resume_token()](
          const rpc::Call&, rpc::Stream<v1::WatchPipelineResponse> stream) {
        const auto parts = ParseScoped(name, kPipelinePattern, "name");
        absl::Status status = parts.status();
        if (status.ok()) {
          status = watchers_.Watch((*parts)[0], (*parts)[1], token,
                                   std::make_shared<PipelineStream>(stream));
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
