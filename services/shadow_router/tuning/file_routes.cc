// /v1/files.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/tuning/file_transfer.h"
#include "services/shadow_router/tuning/openai_json.h"
#include "services/shadow_router/tuning/route_support.h"
#include "services/shadow_router/tuning/training_data.h"
#include "services/shadow_router/tuning/tuning_routes.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;
using FilesStub = curation_pb::FileService::Stub;

constexpr size_t kFormOverhead = 1 << 20;  // fields and boundaries beside the file's bytes

std::string FieldOr(const UploadedForm& form, const char* name) {
  const auto found = form.fields.find(name);
  return found == form.fields.end() ? "" : found->second;
}

absl::Status CheckPurpose(const std::string& purpose) {
  static const std::set<std::string>* const kPurposes =
      new std::set<std::string>{"evals", "fine-tune", "user_data"};
  if (kPurposes->contains(purpose)) return absl::OkStatus();
  const std::string text = purpose.empty() ? "is required"
                                           : absl::StrCat("is '", purpose, "'; must be one of ",
                                                          absl::StrJoin(*kPurposes, ", "));
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat("'purpose' ", text),
               {.reason = purpose.empty() ? "FIELD_REQUIRED" : "FIELD_INVALID",
                .metadata = {},
                .violations = {{"purpose", text}}});
}

absl::Status TakeFile(const TuningRoutes& routes, const RouteCall& call, http::Exchange& exchange) {
  ASSIGN_OR_RETURN(UploadedForm form, ReadUpload(exchange, "file", routes.options.max_file_bytes));
  const std::string purpose = FieldOr(form, "purpose");
  RETURN_IF_ERROR(CheckPurpose(purpose));
  ASSIGN_OR_RETURN(const int64_t expiry, ExpirySeconds(FieldOr(form, "expires_after[anchor]"),
                                                       FieldOr(form, "expires_after[seconds]")));
  curation_pb::CreateFileRequest create;
  create.set_parent(call.project);
  create.mutable_file()->set_filename(form.filename);
  create.mutable_file()->set_purpose(purpose);
  if (expiry > 0) {
    create.mutable_file()->mutable_expire_time()->set_seconds(
        absl::ToUnixSeconds(routes.backend.clock.Now()) + expiry);
  }
  ASSIGN_OR_RETURN(const curation_pb::File file, StoreUpload(routes.backend, create, form));
  return exchange.Respond(JsonResponse(StoredFileJson(routes.backend, file)));
}

absl::StatusOr<scheduler_pb::Job> JobOf(TuningBackend& backend, const std::string& name) {
  scheduler_pb::GetJobRequest request;
  request.set_name(name);
  return rpc::Invoke(*backend.jobs, &scheduler_pb::JobService::Stub::GetJob, request, Repeatable());
}

absl::StatusOr<std::string> ResultsOf(TuningBackend& backend, const std::string& job) {
  std::vector<scheduler_pb::MetricPoint> points;
  scheduler_pb::ListMetricPointsRequest request;
  request.set_parent(job);
  do {
    ASSIGN_OR_RETURN(const auto page,
                     rpc::Invoke(*backend.jobs, &scheduler_pb::JobService::Stub::ListMetricPoints,
                                 request, Repeatable()));
    points.insert(points.end(), page.points().begin(), page.points().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return MetricsCsv(points);
}

absl::StatusOr<Json> GetFile(const TuningRoutes& routes, const RouteCall& call) {
  const std::string id = PathPart(call, "file");
  if (const auto job_name = JobOfResultFile(call.project, id); job_name.has_value()) {
    ASSIGN_OR_RETURN(const scheduler_pb::Job job, JobOf(routes.backend, *job_name));
    ASSIGN_OR_RETURN(const std::string csv, ResultsOf(routes.backend, *job_name));
    return ResultFileJson(job, csv.size());
  }
  curation_pb::GetFileRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), FileNameOf(call.project, id, "id"));
  ASSIGN_OR_RETURN(const curation_pb::File file,
                   rpc::Invoke(*routes.backend.files, &FilesStub::GetFile, request, Repeatable()));
  return CheckedFileJson(routes.backend, file);
}

absl::StatusOr<Json> DeleteFile(const TuningRoutes& routes, const RouteCall& call) {
  const std::string id = PathPart(call, "file");
  curation_pb::DeleteFileRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), FileNameOf(call.project, id, "id"));
  RETURN_IF_ERROR(rpc::Invoke(*routes.backend.files, &FilesStub::DeleteFile, request).status());
  return Json{{"id", id}, {"object", "file"}, {"deleted", true}};
}

// Newest first; uploads that have not been completed, and their parts, are no files yet.
absl::StatusOr<Json> ListFiles(const TuningRoutes& routes, const RouteCall& call) {
  ASSIGN_OR_RETURN(const size_t limit, LimitOf(call, 10'000, 10'000));
  const std::string purpose = call.request.Query("purpose").value_or("");
  const std::string order = call.request.Query("order").value_or("desc");
  if (order != "asc" && order != "desc") {
    return Error(absl::StatusCode::kInvalidArgument, "'order' must be asc or desc",
                 {.reason = "FIELD_INVALID",
                  .metadata = {},
                  .violations = {{"order", "must be asc or desc"}}});
  }
  curation_pb::ListFilesRequest request;
  request.set_parent(call.project);
  request.set_page_size(1000);
  std::vector<Json> files;
  std::map<std::string, curation_pb::File> doubtful;  // by id: something is said about their lines
  do {
    ASSIGN_OR_RETURN(
        const curation_pb::ListFilesResponse page,
        rpc::Invoke(*routes.backend.files, &FilesStub::ListFiles, request, Repeatable()));
    for (const curation_pb::File& file : page.files()) {
      if (file.state() == curation_pb::File::UPLOADING || file.labels().contains(kUploadLabel) ||
          (!purpose.empty() && file.purpose() != purpose)) {
        continue;
      }
      files.push_back(FileJson(file));
      if (file.problem_count() > 0) doubtful[FileIdOf(file.name())] = file;
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (order == "asc") std::reverse(files.begin(), files.end());
  ASSIGN_OR_RETURN(Json list, ListJson(files, AfterOf(call), limit));
  for (Json& file : list["data"]) {
    const auto found = doubtful.find(file["id"].get<std::string>());
    if (found == doubtful.end()) continue;
    ASSIGN_OR_RETURN(file, CheckedFileJson(routes.backend, found->second));
  }
  return list;
}

absl::Status SendContent(const TuningRoutes& routes, const RouteCall& call,
                         http::Exchange& exchange) {
  const std::string id = PathPart(call, "file");
  if (const auto job = JobOfResultFile(call.project, id); job.has_value()) {
    RETURN_IF_ERROR(JobOf(routes.backend, *job).status());
    ASSIGN_OR_RETURN(std::string csv, ResultsOf(routes.backend, *job));
    http::Response response{.status = 200, .headers = {{"content-type", "text/csv"}}};
    response.body = std::move(csv);
    return exchange.Respond(std::move(response));
  }
  ASSIGN_OR_RETURN(const std::string name, FileNameOf(call.project, id, "id"));
  bool started = false;
  RETURN_IF_ERROR(ReadFile(routes.backend, name, [&](std::string_view bytes) -> absl::Status {
    if (!started) {
      started = true;
      RETURN_IF_ERROR(exchange.Start(200, {{"content-type", "application/octet-stream"}}));
    }
    return exchange.Write(bytes);
  }));
  return started ? exchange.Finish() : exchange.Respond(http::Response{.status = 200});
}

}  // namespace

void AddFileRoutes(http::Server& server, TuningRoutes& routes) {
  AddStreamRoute(
      server, routes, "POST", "/v1/files", Access::kCall,
      [&routes](const RouteCall& call, http::Exchange& exchange) {
        return TakeFile(routes, call, exchange);
      },
      {.max_body_bytes = routes.options.max_file_bytes + kFormOverhead, .stream_body = true});
  AddJsonRoute(server, routes, "GET", "/v1/files", Access::kRead,
               [&routes](const RouteCall& call) { return ListFiles(routes, call); });
  AddJsonRoute(server, routes, "GET", "/v1/files/{file}", Access::kRead,
               [&routes](const RouteCall& call) { return GetFile(routes, call); });
  AddJsonRoute(server, routes, "DELETE", "/v1/files/{file}", Access::kCall,
               [&routes](const RouteCall& call) { return DeleteFile(routes, call); });
  AddStreamRoute(server, routes, "GET", "/v1/files/{file}/content", Access::kRead,
                 [&routes](const RouteCall& call, http::Exchange& exchange) {
                   return SendContent(routes, call, exchange);
                 });
}

}  // namespace crossover::router
