// Protobuf to domain and back.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "crossover/inference/v1/inference_service.pb.h"
#include "crossover/inference/v1/loaded_model.pb.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {

namespace pb = ::crossover::inference::v1;

// INVALID_ARGUMENT `FIELD_INVALID` names what cannot be served: parts that are no text, several
// adapters, constraints.
absl::StatusOr<GenerateCommand> ToCommand(const pb::GenerateRequest& request);
absl::StatusOr<ScoreCommand> ToCommand(const pb::ScoreRequest& request);
absl::StatusOr<ChatPrompt> ToChat(const pb::GenerateRequest::Chat& chat, const std::string& prefix);

void ToProto(const TokenUsage& usage, type::v1::Usage* out);
void ToProto(const RequestTiming& timing, pb::Timing* out);
void ToProto(const llm::GeneratedToken& token, const llm::Tokenizer& tokenizer,
             pb::TokenLogprob* out);
void ToProto(const llm::ToolCall& call, type::v1::ToolCall* out);
pb::LoadedModel ToProto(const ModelInfo& info);

}  // namespace crossover::inference
