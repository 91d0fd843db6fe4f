#include "services/model_server/transport/openai_json.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "llm/tokenizer/utf8.h"

namespace crossover::inference {
namespace {

using Json = nlohmann::ordered_json;

Json TokenJson(int32_t id, float logprob, const llm::Tokenizer& tokenizer) {
  const std::string_view bytes = tokenizer.Bytes(id);
  Json list = Json::array();
  for (const char byte : bytes) list.push_back(static_cast<uint8_t>(byte));
  return {{"token", llm::ToValidUtf8(bytes)}, {"logprob", logprob}, {"bytes", std::move(list)}};
}

Json LogprobsJson(const std::vector<llm::GeneratedToken>& tokens, const llm::Tokenizer& tokenizer) {
  Json content = Json::array();
  for (const llm::GeneratedToken& token : tokens) {
    Json entry = TokenJson(token.id, token.logprob, tokenizer);
    entry["top_logprobs"] = Json::array();
    for (const llm::TokenLogprob& other : token.top) {
      entry["top_logprobs"].push_back(TokenJson(other.id, other.logprob, tokenizer));
    }
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

// Ids are unique because the answer's is.
Json ToolCallsJson(const AnswerHead& head, int64_t index, const std::vector<llm::ToolCall>& calls,
                   bool in_stream) {
  Json list = Json::array();
  for (size_t i = 0; i < calls.size(); ++i) {
    Json call = Json::object();
    if (in_stream) call["index"] = i;
    call["id"] = absl::StrCat("call_", head.id, "_", index, "_", i);
    call["type"] = "function";
    call["function"] = {{"name", calls[i].name}, {"arguments", calls[i].arguments}};
    list.push_back(std::move(call));
  }
  return list;
}

Json MessageJson(const AnswerHead& head, int64_t index, const Choice& choice) {
  Json message = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
  if (choice.tool_calls.empty()) return message;
  if (choice.text.empty()) message["content"] = nullptr;
  message["tool_calls"] = ToolCallsJson(head, index, choice.tool_calls, false);
  return message;
}

Json Envelope(const AnswerHead& head, const char* object) {
  return {{"id", head.id},
          {"object", object},
          {"created", head.created},
          {"model", head.model},
          {"system_fingerprint", head.fingerprint}};
}

Json Chunk(const AnswerHead& head, int64_t index, Json delta, Json logprobs, Json finish_reason,
           bool include_usage) {
  Json chunk = Envelope(head, "chat.completion.chunk");
  chunk["choices"] = Json::array({{{"index", index},
                                   {"delta", std::move(delta)},
                                   {"logprobs", std::move(logprobs)},
                                   {"finish_reason", std::move(finish_reason)}}});
  if (include_usage) chunk["usage"] = nullptr;
  return chunk;
}

const char* TypeOf(int http_status) {
  switch (http_status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return http_status >= 500 ? "server_error" : "invalid_request_error";
  }
}

}  // namespace

Json UsageJson(const TokenUsage& usage) {
  return {{"prompt_tokens", usage.input},
          {"completion_tokens", usage.output},
          {"total_tokens", usage.input + usage.output},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_input}}}};
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json CompletionJson(const AnswerHead& head, const std::vector<Choice>& choices,
                    const TokenUsage& usage, bool with_logprobs, const llm::Tokenizer& tokenizer) {
  Json out = Envelope(head, "chat.completion");
  Json list = Json::array();
  for (size_t i = 0; i < choices.size(); ++i) {
    list.push_back(
        {{"index", i},
         {"message", MessageJson(head, static_cast<int64_t>(i), choices[i])},
         {"logprobs", with_logprobs ? LogprobsJson(choices[i].tokens, tokenizer) : Json(nullptr)},
         {"finish_reason", choices[i].finish_reason}});
  }
  out["choices"] = std::move(list);
  out["usage"] = UsageJson(usage);
  return out;
}

Json RoleChunkJson(const AnswerHead& head, int64_t index, bool include_usage) {
  return Chunk(head, index, {{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}, nullptr,
               nullptr, include_usage);
}

Json ChunkJson(const AnswerHead& head, const AnswerPiece& piece, bool include_usage,
               bool with_logprobs, const llm::Tokenizer& tokenizer) {
  Json delta = Json::object();
  if (!piece.text.empty()) delta["content"] = piece.text;
  if (!piece.tool_calls.empty())
    delta["tool_calls"] = ToolCallsJson(head, piece.index, piece.tool_calls, true);
  Json logprobs = with_logprobs && !piece.tokens.empty() ? LogprobsJson(piece.tokens, tokenizer)
                                                         : Json(nullptr);
  Json finish = piece.finish_reason.empty() ? Json(nullptr) : Json(piece.finish_reason);
  return Chunk(head, piece.index, std::move(delta), std::move(logprobs), std::move(finish),
               include_usage);
}

Json UsageChunkJson(const AnswerHead& head, const TokenUsage& usage) {
  Json chunk = Envelope(head, "chat.completion.chunk");
  chunk["choices"] = Json::array();
  chunk["usage"] = UsageJson(usage);
  return chunk;
}

Json ModelsJson(const std::vector<ModelInfo>& models, int64_t created) {
  Json data = Json::array();
  for (const ModelInfo& info : models) {
    std::vector<std::string> names = info.aliases;
    names.push_back(info.digest);
    for (const std::string& name : names) {
      data.push_back(
          {{"id", name}, {"object", "model"}, {"created", created}, {"owned_by", "crossover"}});
    }
  }
  return {{"object", "list"}, {"data", std::move(data)}};
}

int HttpStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:  // By us: a client that cancelled is not there to read it.
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

Json ErrorJson(const absl::Status& status) {
  const ErrorDetail detail = DetailOf(status);
  const std::string code = absl::AsciiStrToLower(detail.reason);
  const std::string field = detail.violations.empty() ? "" : detail.violations[0].field;
  return {{"error",
           {{"message", std::string(ToStd(status.message()))},
            {"type", TypeOf(HttpStatusOf(status))},
            {"param", field.empty() ? Json(nullptr) : Json(field)},
            {"code", code.empty() ? Json(nullptr) : Json(code)}}}};
}

http::Response ErrorResponse(const absl::Status& status) {
  http::Response response = http::Response::Json(HttpStatusOf(status), Dump(ErrorJson(status)));
  if (response.status == 429 || response.status == 503) {
    response.headers.Set("retry-after", "1");
    response.headers.Set("retry-after-ms", "1000");
  }
  return response;
}

}  // namespace crossover::inference
