// registry.v1.PromptService.
#pragma once

#include "common/rpc/handler.h"
#include "crossover/registry/v1/prompt_service.grpc.pb.h"
#include "services/registry/domain/prompt_registry.h"
#include "services/registry/transport/documents.h"
#include "services/registry/transport/unary.h"

namespace crossover::registry {

// Borrows everything.
class PromptServiceImpl final : public v1::PromptService::CallbackService {
 public:
  PromptServiceImpl(rpc::Handler& handler, RegistryStore& store, PromptRegistry& registry)
      : handler_(handler),
        store_(store),
        registry_(registry),
        prompts_(store, Kind::kPrompt, "", {"labels.*"}) {}

  CROSSOVER_UNARY(CreatePrompt, v1::CreatePromptRequest, v1::Prompt)
  CROSSOVER_UNARY(GetPrompt, v1::GetPromptRequest, v1::Prompt)
  CROSSOVER_UNARY(ListPrompts, v1::ListPromptsRequest, v1::ListPromptsResponse)
  CROSSOVER_UNARY(UpdatePrompt, v1::UpdatePromptRequest, v1::Prompt)
  CROSSOVER_UNARY(DeletePrompt, v1::DeletePromptRequest, google::protobuf::Empty)
  CROSSOVER_UNARY(CreatePromptVersion, v1::CreatePromptVersionRequest, v1::PromptVersion)
  CROSSOVER_UNARY(GetPromptVersion, v1::GetPromptVersionRequest, v1::PromptVersion)
  CROSSOVER_UNARY(ListPromptVersions, v1::ListPromptVersionsRequest, v1::ListPromptVersionsResponse)
  CROSSOVER_UNARY(ActivatePromptVersion, v1::ActivatePromptVersionRequest, v1::PromptVersion)
  CROSSOVER_UNARY(RollbackPrompt, v1::RollbackPromptRequest, v1::PromptVersion)
  CROSSOVER_UNARY(DiffPromptVersion, v1::DiffPromptVersionRequest, v1::DiffPromptVersionResponse)
  CROSSOVER_UNARY(RenderPromptVersion, v1::RenderPromptVersionRequest,
                  v1::RenderPromptVersionResponse)
  CROSSOVER_UNARY(DecomposePromptVersion, v1::DecomposePromptVersionRequest,
                  v1::DecomposePromptVersionResponse)
  CROSSOVER_UNARY(ImportHistory, v1::ImportHistoryRequest, v1::ImportHistoryResponse)

 private:
  // Sets active_version and latest_version.
  absl::Status PutHeads(v1::Prompt& prompt);
  absl::StatusOr<PromptVersion> Find(const std::string& name, std::string_view field);

  rpc::Handler& handler_;
  RegistryStore& store_;
  PromptRegistry& registry_;
  Documents<v1::Prompt> prompts_;
};

}  // namespace crossover::registry
