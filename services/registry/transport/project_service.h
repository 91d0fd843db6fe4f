// registry.v1.ProjectService: projects and keys.
#pragma once

#include "common/id/uuid7.h"
#include "common/rpc/handler.h"
#include "crossover/registry/v1/project_service.grpc.pb.h"
#include "services/registry/transport/documents.h"
#include "services/registry/transport/unary.h"

namespace crossover::registry {

// Borrows everything.
class ProjectServiceImpl final : public v1::ProjectService::CallbackService {
 public:
  ProjectServiceImpl(rpc::Handler& handler, RegistryStore& store, UuidGenerator& ids,
                     RandomSource& random, Clock& clock)
      : handler_(handler),
        store_(store),
        projects_(store, Kind::kProject, "", {"labels.*"}),
        ids_(ids),
        random_(random),
        clock_(clock) {}

  CROSSOVER_UNARY(CreateProject, v1::CreateProjectRequest, v1::Project)
  CROSSOVER_UNARY(GetProject, v1::GetProjectRequest, v1::Project)
  CROSSOVER_UNARY(ListProjects, v1::ListProjectsRequest, v1::ListProjectsResponse)
  CROSSOVER_UNARY(UpdateProject, v1::UpdateProjectRequest, v1::Project)
  CROSSOVER_UNARY(DeleteProject, v1::DeleteProjectRequest, google::protobuf::Empty)
  CROSSOVER_UNARY(CreateApiKey, v1::CreateApiKeyRequest, v1::ApiKey)
  CROSSOVER_UNARY(GetApiKey, v1::GetApiKeyRequest, v1::ApiKey)
  CROSSOVER_UNARY(ListApiKeys, v1::ListApiKeysRequest, v1::ListApiKeysResponse)
  CROSSOVER_UNARY(UpdateApiKey, v1::UpdateApiKeyRequest, v1::ApiKey)
  CROSSOVER_UNARY(RevokeApiKey, v1::RevokeApiKeyRequest, v1::ApiKey)
  CROSSOVER_UNARY(RotateApiKey, v1::RotateApiKeyRequest, v1::ApiKey)
  CROSSOVER_UNARY(AuthenticateKey, v1::AuthenticateKeyRequest, v1::AuthenticateKeyResponse)

 private:
  absl::StatusOr<ApiKey> FindKey(const std::string& name);

  rpc::Handler& handler_;
  RegistryStore& store_;
  Documents<v1::Project> projects_;
  UuidGenerator& ids_;
  RandomSource& random_;
  Clock& clock_;
};

}  // namespace crossover::registry
