#include "services/training_scheduler/transport/model_service.h"

#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/labels.h"
#include "services/training_scheduler/domain/names.h"
#include "services/training_scheduler/transport/convert.h"
#include "services/training_scheduler/transport/download.h"
#include "services/training_scheduler/transport/enums.h"
#include "services/training_scheduler/transport/job_query.h"

namespace crossover::scheduler {
namespace {

// Of a request that has a request_id; the id is not part of the payload.
template <typename Request>
absl::StatusOr<RequestKey> KeyOf(Request request) {
  const std::string id = request.request_id();
  request.clear_request_id();
  return ToRequestKey(id, request);
}

// nullopt: nothing can match.
absl::StatusOr<std::optional<VersionQuery>> ToQuery(const v1::ListModelVersionsRequest& request,
                                                    const std::string& key) {
  ASSIGN_OR_RETURN(ModelName name, ParseModelName("parent", request.parent()));
  ASSIGN_OR_RETURN(
      list::Filter filter,
      list::ParseFilter(request.filter(), {"kind", "state", "alias", "digest", "base_digest",
                                           "source_job", "dataset_version", "task"}));
  RETURN_IF_ERROR(list::RequireEqualityOnly(filter));
  const auto equal = [&](const char* field) { return list::EqualTo(filter, field).value_or(""); };
  VersionQuery query;
  query.project = name.project;
  query.model = name.model == "-" ? "" : name.model;
  query.alias = equal("alias");
  query.digest = equal("digest");
  query.base_digest = equal("base_digest");
  query.source_job = equal("source_job");
  if (query.source_job.find('/') != std::string::npos) {
    ASSIGN_OR_RETURN(JobName job, ParseJobName("filter.source_job", query.source_job));
    query.source_job = job.job;
  }
  query.dataset_version = equal("dataset_version");
  query.task = equal("task");
  if (const std::string kind = equal("kind"); !kind.empty()) {
    query.kind = ParseModelKind(kind);
    if (!query.kind.has_value()) {
      return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                   absl::StrCat("filter: kind has no value '", kind, "'"));
    }
  }
  ASSIGN_OR_RETURN(query.limit, list::PageSize(request.page_size()));
  ASSIGN_OR_RETURN(std::string position, list::ParsePageToken(request.page_token(), key));
  if (!position.empty() && !absl::SimpleAtoi(position, &query.before)) {
    return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID", "page_token is damaged");
  }
  if (list::IsContradiction(filter)) return std::optional<VersionQuery>();
  return std::optional(std::move(query));
}

}  // namespace

absl::Status ModelServiceImpl::DoGetModel(const v1::GetModelRequest& request, v1::Model& response) {
  ASSIGN_OR_RETURN(ModelName name, ParseModelName("name", request.name()));
  ASSIGN_OR_RETURN(Model model, models_.GetModel(name.project, name.model));
  response = ToProto(model);
  return absl::OkStatus();
}

absl::Status ModelServiceImpl::DoListModels(const v1::ListModelsRequest& request,
                                            v1::ListModelsResponse& response) {
  ASSIGN_OR_RETURN(std::string project, ParseProject("parent", request.parent()));
  const std::string key = absl::StrCat(request.parent(), "\n", request.filter());
  ASSIGN_OR_RETURN(int64_t limit, list::PageSize(request.page_size()));
  ASSIGN_OR_RETURN(std::string after, list::ParsePageToken(request.page_token(), key));
  ASSIGN_OR_RETURN(list::Filter filter, list::ParseFilter(request.filter(), {"kind", "labels.*"}));
  ASSIGN_OR_RETURN(std::vector<Model> models, models_.ListModels(project, after, limit));
  for (const Model& model : models) {
    const bool passes = list::Matches(filter, [&](const std::string& field) {
      if (field == "kind") return std::optional(std::string(Name(model.kind)));
      const auto label = model.labels.find(field.substr(sizeof("labels.") - 1));
      return label == model.labels.end() ? std::nullopt : std::optional(label->second);
    });
    if (passes) *response.add_models() = ToProto(model);
  }
  if (static_cast<int64_t>(models.size()) == limit) {
    response.set_next_page_token(list::MakePageToken(models.back().model, key));
  }
  return absl::OkStatus();
}

absl::Status ModelServiceImpl::DoUpdateModel(const v1::UpdateModelRequest& request,
                                             v1::Model& response) {
  ASSIGN_OR_RETURN(ModelName name, ParseModelName("model.name", request.model().name()));
  ASSIGN_OR_RETURN(Model model, models_.GetModel(name.project, name.model));
  const auto masked = [&](const char* field) {
    const auto& paths = request.update_mask().paths();
    return paths.empty() || std::find(paths.begin(), paths.end(), field) != paths.end();
  };
  for (const std::string& path : request.update_mask().paths()) {
    if (path != "display_name" && path != "labels") {
      return Error(
          absl::StatusCode::kInvalidArgument, "UPDATE_MASK_INVALID",
          absl::StrCat("update_mask has '", path, "'; display_name and labels can change"));
    }
  }
  if (masked("display_name")) model.display_name = request.model().display_name();
  if (masked("labels")) {
    model.labels = {request.model().labels().begin(), request.model().labels().end()};
    RETURN_IF_ERROR(LabelsError("model.labels", model.labels));
  }
  ASSIGN_OR_RETURN(model, models_.UpdateModel(model));
  response = ToProto(model);
  return absl::OkStatus();
}

absl::Status ModelServiceImpl::DoDeleteModel(const v1::DeleteModelRequest& request,
                                             google::protobuf::Empty&) {
  ASSIGN_OR_RETURN(ModelName name, ParseModelName("name", request.name()));
  RETURN_IF_ERROR(models_.GetModel(name.project, name.model).status());
  while (true) {
    ASSIGN_OR_RETURN(std::vector<ModelVersion> versions,
                     models_.ListVersions({.project = name.project, .model = name.model}));
    if (versions.empty()) return absl::OkStatus();
    for (const ModelVersion& version : versions) {
      RETURN_IF_ERROR(registry_.Delete(name.project, name.model, version.digest));
    }
  }
}

absl::Status ModelServiceImpl::DoGetModelVersion(const v1::GetModelVersionRequest& request,
                                                 v1::ModelVersion& response) {
  ASSIGN_OR_RETURN(ModelName name, ParseModelName("name", request.name()));
  ASSIGN_OR_RETURN(ModelVersion version,
                   models_.GetVersion(name.project, name.model, name.version));
  response = ToProto(version);
  return absl::OkStatus();
}

absl::Status ModelServiceImpl::DoListModelVersions(const v1::ListModelVersionsRequest& request,
                                                   v1::ListModelVersionsResponse& response) {
  const std::string key = absl::StrCat(request.parent(), "\n", request.filter());
  ASSIGN_OR_RETURN(const std::optional<VersionQuery> query, ToQuery(request, key));
  if (!query.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<ModelVersion> versions, models_.ListVersions(*query));
  for (const ModelVersion& version : versions) *response.add_model_versions() = ToProto(version);
  if (static_cast<int64_t>(versions.size()) == query->limit) {
    response.set_next_page_token(list::MakePageToken(absl::StrCat(versions.back().ordinal), key));
  }
  return absl::OkStatus();
}

absl::Status ModelServiceImpl::DoDeleteModelVersion(const v1::DeleteModelVersionRequest& request,
                                                    google::protobuf::Empty&) {
  ASSIGN_OR_RETURN(ModelName name, ParseModelName("name", request.name()));
  return registry_.Delete(name.project, name.model, name.version);
}

absl::Status ModelServiceImpl::DoImportModel(const v1::ImportModelRequest& request,
                                             v1::ModelVersion& response) {
  ImportRequest import;
  ASSIGN_OR_RETURN(import.project, ParseProject("parent", request.parent()));
  import.model = request.model_id();
  import.licence = request.licence();
  import.validate_only = request.validate_only();
  switch (request.source_case()) {
    case v1::ImportModelRequest::kGgufPath:
      import.gguf_path = request.gguf_path();
      break;
    case v1::ImportModelRequest::kPackage:
      import.package = request.package();
      break;
    case v1::ImportModelRequest::kFolderPath:
      import.folder_path = request.folder_path();
      break;
    case v1::ImportModelRequest::kAdapterPath:
      import.adapter_path = request.adapter_path();
      break;
    case v1::ImportModelRequest::SOURCE_NOT_SET:
      break;
  }
  if (import.gguf_path.empty() && import.package.empty() && import.folder_path.empty() &&
      import.adapter_path.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                 "source is required: gguf_path, folder_path, package or adapter_path");
  }
  import.base_model = request.base_model();
  if (import.adapter_path.empty() && !import.base_model.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                 "base_model goes with adapter_path only");
  }
  ASSIGN_OR_RETURN(import.key, KeyOf(request));
  ASSIGN_OR_RETURN(ModelVersion version, registry_.Import(import));
  response = ToProto(version);
  return absl::OkStatus();
}

absl::Status ModelServiceImpl::DoExportModel(const v1::ExportModelRequest& request,
                                             v1::Job& response) {
  ASSIGN_OR_RETURN(ModelName name, ParseModelName("name", request.name()));
  ASSIGN_OR_RETURN(const RequestKey key, KeyOf(request));
  ASSIGN_OR_RETURN(std::optional<Job> known, scheduler_.FindCreated(name.project, key));
  if (known.has_value()) {
    response = ToProto(*known);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(ModelVersion version,
                   models_.GetVersion(name.project, name.model, name.version));
  Job draft;
  draft.project = name.project;
  draft.kind = JobKind::kExport;
  draft.spec.model_export = {version.digest, FromEnum(request.format(), &ParseExportFormat)};
  ASSIGN_OR_RETURN(Job job, scheduler_.Create(std::move(draft), key, false));
  response = ToProto(job);
  return absl::OkStatus();
}

absl::Status ModelServiceImpl::DoSetModelAlias(const v1::SetModelAliasRequest& request,
                                               v1::ModelVersion& response) {
  ASSIGN_OR_RETURN(ModelName name, ParseModelName("name", request.name()));
  if (!request.alias().empty() && !IsSlug(request.alias())) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                 absl::StrCat("alias is '", request.alias(),
                              "'; must be lower-case letters, digits and dashes"));
  }
  ASSIGN_OR_RETURN(ModelVersion found, models_.GetVersion(name.project, name.model, name.version));
  ASSIGN_OR_RETURN(ModelVersion version,
                   models_.SetAlias(name.project, found.model, found.digest, request.alias()));
  response = ToProto(version);
  return absl::OkStatus();
}

absl::Status ModelServiceImpl::CheckBelongs(const std::string& project, const std::string& digest) {
  const absl::Status as_model = models_.GetVersion(project, "", digest).status();
  if (!absl::IsNotFound(as_model)) return as_model;
  ASSIGN_OR_RETURN(bool of_job, jobs_.RefersTo(project, digest));
  if (of_job) return absl::OkStatus();
  return Error(absl::StatusCode::kNotFound, "BLOB_NOT_FOUND",
               absl::StrCat("no artifact ", digest, " in projects/", project));
}

grpc::ServerWriteReactor<v1::DownloadArtifactResponse>* ModelServiceImpl::DownloadArtifact(
    grpc::CallbackServerContext* context, const v1::DownloadArtifactRequest* request) {
  return handler_.ServerStream<v1::DownloadArtifactResponse>(
      context, "DownloadArtifact",
      [this, request = *request](const rpc::Call&,
                                 rpc::Stream<v1::DownloadArtifactResponse> stream) {
        absl::StatusOr<std::string> project = ParseProject("parent", request.parent());
        absl::Status status = project.status();
        if (status.ok()) status = CheckBelongs(*project, request.digest());
        if (status.ok()) status = SendArtifact(blobs_, request, stream);
        stream.Finish(std::move(status));
      });
}

}  // namespace crossover::scheduler
