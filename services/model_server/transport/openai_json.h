// The chat completions contract: JSON of requests, answers and errors.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/http/message.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {

struct ChatRequest {
  GenerateCommand command;
  bool stream = false;
  bool include_usage = false;
};

// INVALID_ARGUMENT `FIELD_INVALID` with the path of the field ("messages[2].content"). What
// RefuseUnserved names (openai_fields.h) is refused; other fields that are not known are ignored.
absl::StatusOr<ChatRequest> ParseChatRequest(std::string_view body);

struct StreamFields {
  bool stream = false;
  bool include_usage = false;
};

// The fields that chat completions and completions share: sampling, what the answer must look like,
// and how it comes. `body` is the text of `root`.
absl::Status ReadGenerationFields(const nlohmann::json& root, std::string_view body,
                                  GenerateCommand& command, StreamFields& stream);

nlohmann::ordered_json UsageJson(const TokenUsage& usage);

// What all pieces of one answer carry.
struct AnswerHead {
  std::string id;  // "chatcmpl-…"
  int64_t created = 0;
  std::string model;  // As the client wrote it.
  std::string fingerprint;
};

// One answer, whole.
struct Choice {
  std::string text;
  std::vector<llm::GeneratedToken> tokens;
  std::string finish_reason;
  std::vector<llm::ToolCall> tool_calls;
};

nlohmann::ordered_json CompletionJson(const AnswerHead& head, const std::vector<Choice>& choices,
                                      const TokenUsage& usage, bool with_logprobs,
                                      const llm::Tokenizer& tokenizer);

// The first chunk of answer `index`, which names the role.
nlohmann::ordered_json RoleChunkJson(const AnswerHead& head, int64_t index, bool include_usage);
// New text of an answer; its last piece carries the reason of the end.
nlohmann::ordered_json ChunkJson(const AnswerHead& head, const AnswerPiece& piece,
                                 bool include_usage, bool with_logprobs,
                                 const llm::Tokenizer& tokenizer);
// The chunk without choices that ends a stream with include_usage.
nlohmann::ordered_json UsageChunkJson(const AnswerHead& head, const TokenUsage& usage);

nlohmann::ordered_json ModelsJson(const std::vector<ModelInfo>& models, int64_t created);

// {"error": {message, type, param, code}}, all four keys.
nlohmann::ordered_json ErrorJson(const absl::Status& status);
// The HTTP status of an error, and the whole response; 429 and 503 say when to come back.
int HttpStatusOf(const absl::Status& status);
http::Response ErrorResponse(const absl::Status& status);

// Compact, with U+FFFD for what is no UTF-8.
std::string Dump(const nlohmann::ordered_json& json);

}  // namespace crossover::inference
