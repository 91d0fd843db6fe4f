#include "services/model_server/transport/grpc_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/model_server/transport/grpc_sinks.h"
#include "services/model_server/transport/proto_convert.h"

namespace crossover::inference {
namespace {

// A start that waits for a model ends with its call.
Patience PatienceOf(const rpc::Call& call) {
  return {.gone = [call] { return call.cancelled(); }, .deadline = call.context().deadline};
}

void FillScores(const ScoreAnswer& answer, bool per_token, pb::ScoreResponse* response) {
  for (const auto& item : answer.items) {
    auto* result = response->add_results();
    for (const ContinuationScore& score : item) {
      auto* continuation = result->add_continuations();
      continuation->set_logprob(score.logprob);
      continuation->set_greedy(score.greedy);
      continuation->set_token_count(static_cast<int64_t>(score.ids.size()));
      for (size_t i = 0; per_token && i < score.ids.size(); ++i) {
        ToProto({score.ids[i], score.logprobs[i], {}}, *answer.start.tokenizer,
                continuation->add_tokens());
      }
    }
  }
  ToProto(answer.usage, response->mutable_usage());
  response->set_system_fingerprint(answer.start.fingerprint);
}

void FillEmbeddings(const EmbedAnswer& answer, pb::EmbedResponse* response) {
  for (const std::vector<float>& vector : answer.embeddings)
    response->add_embeddings()->mutable_values()->Add(vector.begin(), vector.end());
  ToProto(answer.usage, response->mutable_usage());
  response->set_system_fingerprint(answer.start.fingerprint);
}

}  // namespace

InferenceGrpcService::InferenceGrpcService(Inference& inference, rpc::HandlerOptions options,
                                           std::string project, Clock& clock, Logger& logger,
                                           metrics::Registry& registry)
    : inference_(inference),
      project_(std::move(project)),
      handler_(std::move(options), clock, logger, registry) {}

bool InferenceGrpcService::IsOwner(const rpc::Call& call) const {
  const std::string& own = call.principal().project;
  return own.empty() || own == project_;
}

absl::Status InferenceGrpcService::CheckOwner(const rpc::Call& call) const {
  if (IsOwner(call)) return absl::OkStatus();
  return Error(absl::StatusCode::kPermissionDenied, "RESOURCE_FORBIDDEN",
               absl::StrCat("this key belongs to ", call.principal().project,
                            "; which models this server keeps and "
                            "what they are called is for keys of ",
                            project_, ", whose models it serves"));
}

grpc::ServerWriteReactor<pb::GenerateResponse>* InferenceGrpcService::Generate(
    grpc::CallbackServerContext* context, const pb::GenerateRequest* request) {
  return handler_.ServerStream<pb::GenerateResponse>(
      context, "Generate",
      [=, this](const rpc::Call& call, const rpc::Stream<pb::GenerateResponse>& stream) {
        absl::StatusOr<GenerateCommand> command = ToCommand(*request);
        if (!command.ok()) return stream.Finish(command.status());
        command->caller = call.principal().name;
        command->patience = PatienceOf(call);
        const auto sink =
            std::make_shared<StreamSink>(stream, command->sampling.logprobs.has_value());
        const auto generation = inference_.Generate(*command, sink);
        if (!generation.ok()) return stream.Finish(generation.status());
        stream.OnCancel([generation = *generation] { generation->Cancel(); });
      });
}

grpc::ServerUnaryReactor* InferenceGrpcService::GenerateBatch(
    grpc::CallbackServerContext* context, const pb::GenerateBatchRequest* request,
    pb::GenerateBatchResponse* response) {
  return handler_.Deferred(
      context, "GenerateBatch", [=, this](const rpc::Call& call, const rpc::Finisher& finisher) {
        const int count = request->requests_size();
        if (count < 1 || count > 256) {
          return finisher.Finish(Error(
              absl::StatusCode::kInvalidArgument, "requests must hold 1 to 256 requests",
              {.reason = "FIELD_INVALID", .violations = {{"requests", "must hold 1 to 256"}}}));
        }
        std::vector<GenerateCommand> commands;
        for (int i = 0; i < count; ++i) {
          absl::StatusOr<GenerateCommand> command = ToCommand(request->requests(i));
          if (!command.ok())
            return finisher.Finish(
                WithContext(command.status(), absl::StrCat("requests[", i, "]")));
          command->caller = call.principal().name;
          command->patience = PatienceOf(call);
          commands.push_back(*std::move(command));
        }
        const auto batch = std::make_shared<Batch>(
            response, count, [finisher](const absl::Status& status) { finisher.Finish(status); });
        finisher.OnCancel([batch] { batch->Cancel(); });
        for (int i = 0; i < count; ++i) {
          const auto generation = inference_.Generate(
              commands[i], batch->Sink(i, commands[i].sampling.logprobs.has_value()));
          if (generation.ok()) {
            batch->Add(*generation);
          } else {
            batch->Fail(WithContext(generation.status(), absl::StrCat("requests[", i, "]")));
          }
        }
      });
}

grpc::ServerUnaryReactor* InferenceGrpcService::Score(grpc::CallbackServerContext* context,
                                                      const pb::ScoreRequest* request,
                                                      pb::ScoreResponse* response) {
  return handler_.Deferred(
      context, "Score", [=, this](const rpc::Call& call, const rpc::Finisher& finisher) {
        absl::StatusOr<ScoreCommand> command = ToCommand(*request);
        if (!command.ok()) return finisher.Finish(command.status());
        command->caller = call.principal().name;
        command->patience = PatienceOf(call);
        const bool per_token = request->per_token();
        const auto score =
            inference_.Score(*command, [=](const absl::StatusOr<ScoreAnswer>& answer) {
              if (answer.ok()) FillScores(*answer, per_token, response);
              finisher.Finish(answer.status());
            });
        if (!score.ok()) return finisher.Finish(score.status());
        finisher.OnCancel([score = *score] { score->Cancel(); });
      });
}

grpc::ServerUnaryReactor* InferenceGrpcService::Embed(grpc::CallbackServerContext* context,
                                                      const pb::EmbedRequest* request,
                                                      pb::EmbedResponse* response) {
  return handler_.Deferred(
      context, "Embed", [=, this](const rpc::Call& call, const rpc::Finisher& finisher) {
        EmbedCommand command{.model = request->model(),
                             .patience = PatienceOf(call),
                             .caller = call.principal().name};
        command.texts.assign(request->texts().begin(), request->texts().end());
        const auto embedding =
            inference_.Embed(command, [=](const absl::StatusOr<EmbedAnswer>& answer) {
              if (answer.ok()) FillEmbeddings(*answer, response);
              finisher.Finish(answer.status());
            });
        if (!embedding.ok()) return finisher.Finish(embedding.status());
        finisher.OnCancel([embedding = *embedding] { embedding->Cancel(); });
      });
}

grpc::ServerUnaryReactor* InferenceGrpcService::Tokenize(grpc::CallbackServerContext* context,
                                                         const pb::TokenizeRequest* request,
                                                         pb::TokenizeResponse* response) {
  return handler_.Unary(context, "Tokenize", [=, this](const rpc::Call& call) -> absl::Status {
    ASSIGN_OR_RETURN(
        const auto results,
        inference_.Tokenize(request->model(), {request->texts().begin(), request->texts().end()},
                            request->parse_special(), PatienceOf(call)));
    for (const std::vector<int32_t>& ids : results)
      response->add_results()->mutable_ids()->Add(ids.begin(), ids.end());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* InferenceGrpcService::RenderChat(grpc::CallbackServerContext* context,
                                                           const pb::RenderChatRequest* request,
                                                           pb::RenderChatResponse* response) {
  return handler_.Unary(context, "RenderChat", [=, this](const rpc::Call& call) -> absl::Status {
    ASSIGN_OR_RETURN(const ChatPrompt chat, ToChat(request->chat(), "chat."));
    ASSIGN_OR_RETURN(const RenderedChat rendered,
                     inference_.Render(request->model(), chat, request->add_generation_prompt(),
                                       PatienceOf(call)));
    response->set_text(rendered.text);
    response->mutable_tokens()->Add(rendered.ids.begin(), rendered.ids.end());
    response->mutable_assistant_mask()->Add(rendered.assistant.begin(), rendered.assistant.end());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* InferenceGrpcService::ListLoadedModels(
    grpc::CallbackServerContext* context, const pb::ListLoadedModelsRequest*,
    pb::ListLoadedModelsResponse* response) {
  return handler_.Unary(context, "ListLoadedModels",
                        [=, this](const rpc::Call& call) -> absl::Status {
                          const bool named = IsOwner(call);
                          int64_t bytes = 0;
                          for (const ModelInfo& info : inference_.models().List()) {
                            if (named) *response->add_loaded_models() = ToProto(info);
                            bytes += info.bytes;
                          }
                          response->set_weight_bytes(bytes);
                          const llm::EngineStats stats = inference_.models().Stats();
                          response->set_cache_bytes(stats.kv_bytes_running + stats.kv_bytes_cached);
                          return absl::OkStatus();
                        });
}

grpc::ServerUnaryReactor* InferenceGrpcService::LoadModel(grpc::CallbackServerContext* context,
                                                          const pb::LoadModelRequest* request,
                                                          pb::LoadedModel* response) {
  return handler_.Unary(context, "LoadModel", [=, this](const rpc::Call& call) -> absl::Status {
    RETURN_IF_ERROR(CheckOwner(call));
    ASSIGN_OR_RETURN(const ModelInfo info,
                     inference_.models().LoadBase(
                         request->digest(), {request->aliases().begin(), request->aliases().end()},
                         PatienceOf(call)));
    *response = ToProto(info);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* InferenceGrpcService::LoadAdapter(grpc::CallbackServerContext* context,
                                                            const pb::LoadAdapterRequest* request,
                                                            pb::LoadedModel* response) {
  return handler_.Unary(context, "LoadAdapter", [=, this](const rpc::Call& call) -> absl::Status {
    // Without a name and a pin it is what Generate does for a digest, and as open.
    if (request->aliases_size() > 0 || request->pinned()) RETURN_IF_ERROR(CheckOwner(call));
    ASSIGN_OR_RETURN(const ModelInfo info,
                     inference_.models().LoadAdapter(
                         request->digest(), {request->aliases().begin(), request->aliases().end()},
                         request->pinned(), request->base_digest(), PatienceOf(call)));
    *response = ToProto(info);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* InferenceGrpcService::UnloadAdapter(
    grpc::CallbackServerContext* context, const pb::UnloadAdapterRequest* request,
    pb::LoadedModel* response) {
  return handler_.Unary(context, "UnloadAdapter", [=, this](const rpc::Call& call) -> absl::Status {
    RETURN_IF_ERROR(CheckOwner(call));
    ASSIGN_OR_RETURN(const ModelInfo info, inference_.models().UnloadAdapter(request->model()));
    *response = ToProto(info);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* InferenceGrpcService::PinAdapter(grpc::CallbackServerContext* context,
                                                           const pb::PinAdapterRequest* request,
                                                           pb::LoadedModel* response) {
  return handler_.Unary(context, "PinAdapter", [=, this](const rpc::Call& call) -> absl::Status {
    RETURN_IF_ERROR(CheckOwner(call));
    ASSIGN_OR_RETURN(const ModelInfo info,
                     inference_.models().PinAdapter(request->model(), request->pinned()));
    *response = ToProto(info);
    return absl::OkStatus();
  });
}

}  // namespace crossover::inference
