// scheduler.v1.ModelService: translates, and nothing else.
#pragma once

#include "common/blob/blob_store.h"
#include "common/rpc/handler.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"
#include "services/training_scheduler/domain/model_registry.h"
#include "services/training_scheduler/domain/scheduler.h"

namespace crossover::scheduler {

// Borrows everything.
class ModelServiceImpl final : public v1::ModelService::CallbackService {
 public:
  ModelServiceImpl(rpc::Handler& handler, ModelRegistry& registry, ModelStore& models,
                   Scheduler& scheduler, JobStore& jobs, BlobStore& blobs)
      : handler_(handler),
        registry_(registry),
        models_(models),
        scheduler_(scheduler),
        jobs_(jobs),
        blobs_(blobs) {}

#define CROSSOVER_UNARY(method, Request, Response)                                               \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext* context, const Request* request, \
                                   Response* response) override {                                \
    return handler_.Unary(context, #method, [=, this](const rpc::Call&) {                        \
      return Do##method(*request, *response);                                                    \
    });                                                                                          \
  }
  CROSSOVER_UNARY(GetModel, v1::GetModelRequest, v1::Model)
  CROSSOVER_UNARY(ListModels, v1::ListModelsRequest, v1::ListModelsResponse)
  CROSSOVER_UNARY(UpdateModel, v1::UpdateModelRequest, v1::Model)
  CROSSOVER_UNARY(DeleteModel, v1::DeleteModelRequest, google::protobuf::Empty)
  CROSSOVER_UNARY(GetModelVersion, v1::GetModelVersionRequest, v1::ModelVersion)
  CROSSOVER_UNARY(ListModelVersions, v1::ListModelVersionsRequest, v1::ListModelVersionsResponse)
  CROSSOVER_UNARY(DeleteModelVersion, v1::DeleteModelVersionRequest, google::protobuf::Empty)
  CROSSOVER_UNARY(ImportModel, v1::ImportModelRequest, v1::ModelVersion)
  CROSSOVER_UNARY(ExportModel, v1::ExportModelRequest, v1::Job)
  CROSSOVER_UNARY(SetModelAlias, v1::SetModelAliasRequest, v1::ModelVersion)
#undef CROSSOVER_UNARY

  grpc::ServerWriteReactor<v1::DownloadArtifactResponse>* DownloadArtifact(
      grpc::CallbackServerContext* context, const v1::DownloadArtifactRequest* request) override;

 private:
  absl::Status DoGetModel(const v1::GetModelRequest& request, v1::Model& response);
  absl::Status DoListModels(const v1::ListModelsRequest& request, v1::ListModelsResponse& response);
  absl::Status DoUpdateModel(const v1::UpdateModelRequest& request, v1::Model& response);
  absl::Status DoDeleteModel(const v1::DeleteModelRequest& request,
                             google::protobuf::Empty& response);
  absl::Status DoGetModelVersion(const v1::GetModelVersionRequest& request,
                                 v1::ModelVersion& response);
  absl::Status DoListModelVersions(const v1::ListModelVersionsRequest& request,
                                   v1::ListModelVersionsResponse& response);
  absl::Status DoDeleteModelVersion(const v1::DeleteModelVersionRequest& request,
                                    google::protobuf::Empty& response);
  absl::Status DoImportModel(const v1::ImportModelRequest& request, v1::ModelVersion& response);
  absl::Status DoExportModel(const v1::ExportModelRequest& request, v1::Job& response);
  absl::Status DoSetModelAlias(const v1::SetModelAliasRequest& request, v1::ModelVersion& response);

  // NOT_FOUND unless a model version, checkpoint or output of the project has this digest.
  absl::Status CheckBelongs(const std::string& project, const std::string& digest);

  rpc::Handler& handler_;
  ModelRegistry& registry_;
  ModelStore& models_;
  Scheduler& scheduler_;
  JobStore& jobs_;
  BlobStore& blobs_;
};

}  // namespace crossover::scheduler
