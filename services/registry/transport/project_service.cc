#include "services/registry/transport/project_service.h"

#include "common/list/resource_name.h"
#include "common/rpc/request_key.h"

namespace crossover::registry {

absl::Status ProjectServiceImpl::DoCreateProject(const v1::CreateProjectRequest& request,
                                                 v1::Project& response) {
  RETURN_IF_ERROR(list::CheckSlug(request.project_id(), "project_id"));
  const ResourceKey key{Kind::kProject, request.project_id(), "", ""};
  ASSIGN_OR_RETURN(const RequestKey request_key,
                   rpc::RequestKeyOf(request, rpc::FieldNames::kProto));
  ASSIGN_OR_RETURN(response, projects_.Create(key, request.project(), request_key));
  return absl::OkStatus();
}

absl::Status ProjectServiceImpl::DoGetProject(const v1::GetProjectRequest& request,
                                              v1::Project& response) {
  ASSIGN_OR_RETURN(const ResourceKey key, ParseKey(Kind::kProject, request.name(), "name"));
  ASSIGN_OR_RETURN(response, projects_.Get(key));
  return absl::OkStatus();
}

absl::Status ProjectServiceImpl::DoListProjects(const v1::ListProjectsRequest& request,
                                                v1::ListProjectsResponse& response) {
  ASSIGN_OR_RETURN(const Listed<v1::Project> listed,
                   projects_.List("", "",
                                  {.page_size = request.page_size(),
                                   .page_token = request.page_token(),
                                   .filter = request.filter(),
                                   .order_by = request.order_by()}));
  response.mutable_projects()->Assign(listed.records.begin(), listed.records.end());
  response.set_next_page_token(listed.next_page_token);
  return absl::OkStatus();
}

absl::Status ProjectServiceImpl::DoUpdateProject(const v1::UpdateProjectRequest& request,
                                                 v1::Project& response) {
  ASSIGN_OR_RETURN(const ResourceKey key,
                   ParseKey(Kind::kProject, request.project().name(), "project.name"));
  ASSIGN_OR_RETURN(response, projects_.Update(key, request.project(), request.update_mask()));
  return absl::OkStatus();
}

absl::Status ProjectServiceImpl::DoDeleteProject(const v1::DeleteProjectRequest& request,
                                                 google::protobuf::Empty&) {
  ASSIGN_OR_RETURN(const ResourceKey key, ParseKey(Kind::kProject, request.name(), "name"));
  if (key.project == "default") {
    return Error(absl::StatusCode::kFailedPrecondition, "RESOURCE_IN_USE",
                 "projects/default always exists");
  }
  return projects_.Delete(key, request.etag());
}

}  // namespace crossover::registry
