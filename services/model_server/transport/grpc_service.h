// crossover.inference.v1.InferenceService: translates, nothing else.
#pragma once

#include <string>

#include "common/rpc/handler.h"
#include "crossover/inference/v1/inference_service.grpc.pb.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {

// Thread-safe. Borrows everything.
class InferenceGrpcService final : public v1::InferenceService::CallbackService {
 public:
  // `project`: whose models are served (`projects/default`).
  InferenceGrpcService(Inference& inference, rpc::HandlerOptions options, std::string project,
                       Clock& clock, Logger& logger, metrics::Registry& registry);

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(
      grpc::CallbackServerContext* context, const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* GenerateBatch(grpc::CallbackServerContext* context,
                                          const v1::GenerateBatchRequest* request,
                                          v1::GenerateBatchResponse* response) override;
  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* context,
                                  const v1::ScoreRequest* request,
                                  v1::ScoreResponse* response) override;
  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* context,
                                  const v1::EmbedRequest* request,
                                  v1::EmbedResponse* response) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* RenderChat(grpc::CallbackServerContext* context,
                                       const v1::RenderChatRequest* request,
                                       v1::RenderChatResponse* response) override;
  grpc::ServerUnaryReactor* ListLoadedModels(grpc::CallbackServerContext* context,
                                             const v1::ListLoadedModelsRequest* request,
                                             v1::ListLoadedModelsResponse* response) override;
  grpc::ServerUnaryReactor* LoadModel(grpc::CallbackServerContext* context,
                                      const v1::LoadModelRequest* request,
                                      v1::LoadedModel* response) override;
  grpc::ServerUnaryReactor* LoadAdapter(grpc::CallbackServerContext* context,
                                        const v1::LoadAdapterRequest* request,
                                        v1::LoadedModel* response) override;
  grpc::ServerUnaryReactor* UnloadAdapter(grpc::CallbackServerContext* context,
                                          const v1::UnloadAdapterRequest* request,
                                          v1::LoadedModel* response) override;
  grpc::ServerUnaryReactor* PinAdapter(grpc::CallbackServerContext* context,
                                       const v1::PinAdapterRequest* request,
                                       v1::LoadedModel* response) override;

 private:
  // Who knows a digest may use it, so a key of another project is told none.
  bool IsOwner(const rpc::Call& call) const;
  // Names, pins and what is in memory are everybody's: PERMISSION_DENIED RESOURCE_FORBIDDEN for a
  // key of another project.
  absl::Status CheckOwner(const rpc::Call& call) const;

  Inference& inference_;
  const std::string project_;
  rpc::Handler handler_;
};

}  // namespace crossover::inference
