// ParseChatRequest.
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/model_server/transport/openai_fields.h"
#include "services/model_server/transport/openai_json.h"

namespace crossover::inference {
namespace {

absl::Status ReadNumber(const ParsedJson& root, const char* key, std::optional<double>& out) {
  const ParsedJson& value = Member(root, key);
  if (value.is_null()) return absl::OkStatus();
  if (!value.is_number()) return BodyFieldError(key, "must be a number");
  out = value.get<double>();
  return absl::OkStatus();
}

absl::Status ReadInteger(const ParsedJson& root, const char* key, std::optional<int64_t>& out) {
  const ParsedJson& value = Member(root, key);
  if (value.is_null()) return absl::OkStatus();
  if (!value.is_number_integer()) return BodyFieldError(key, "must be an integer");
  out = value.get<int64_t>();
  return absl::OkStatus();
}

absl::Status ReadBool(const ParsedJson& root, const char* key, bool& out) {
  const ParsedJson& value = Member(root, key);
  if (value.is_null()) return absl::OkStatus();
  if (!value.is_boolean()) return BodyFieldError(key, "must be true or false");
  out = value.get<bool>();
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadContent(const ParsedJson& content, const std::string& path) {
  if (content.is_null()) return "";
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return BodyFieldError(path, "must be a text or a list of parts");
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string part = absl::StrCat(path, "[", i, "]");
    if (!content[i].is_object() || Member(content[i], "type") != "text") {
      return BodyFieldError(part, "must be a part of type text; this model reads nothing else");
    }
    if (!Member(content[i], "text").is_string())
      return BodyFieldError(part + ".text", "must be a text");
    text += content[i]["text"].get<std::string>();
  }
  return text;
}

// "" if there is none.
absl::StatusOr<std::string> ReadId(const ParsedJson& object, const char* key,
                                   const std::string& path) {
  const ParsedJson& id = Member(object, key);
  if (id.is_null()) return "";
  if (!id.is_string()) return BodyFieldError(absl::StrCat(path, ".", key), "must be a text");
  return id.get<std::string>();
}

absl::StatusOr<std::vector<llm::ToolCall>> ReadToolCalls(const ParsedJson& calls,
                                                         const std::string& path) {
  std::vector<llm::ToolCall> out;
  if (calls.is_null()) return out;
  if (!calls.is_array()) return BodyFieldError(path, "must be a list");
  for (size_t i = 0; i < calls.size(); ++i) {
    const ParsedJson& function = calls[i].is_object() ? Member(calls[i], "function") : ParsedJson();
    if (!function.is_object() || !Member(function, "name").is_string() ||
        !Member(function, "arguments").is_string()) {
      return BodyFieldError(absl::StrCat(path, "[", i, "].function"),
                            "needs a name and arguments, both texts");
    }
    ASSIGN_OR_RETURN(std::string id, ReadId(calls[i], "id", absl::StrCat(path, "[", i, "]")));
    out.push_back({function["name"].get<std::string>(), function["arguments"].get<std::string>(),
                   std::move(id)});
  }
  return out;
}

absl::StatusOr<std::vector<llm::ChatMessage>> ReadMessages(const ParsedJson& messages) {
  if (!messages.is_array() || messages.empty())
    return BodyFieldError("messages", "must be a list of at least one message");
  std::vector<llm::ChatMessage> out;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string path = absl::StrCat("messages[", i, "]");
    if (!messages[i].is_object()) return BodyFieldError(path, "must be an object");
    if (!Member(messages[i], "role").is_string())
      return BodyFieldError(path + ".role", "must be a text");
    llm::ChatMessage message{.role = messages[i]["role"].get<std::string>()};
    ASSIGN_OR_RETURN(message.content,
                     ReadContent(Member(messages[i], "content"), path + ".content"));
    ASSIGN_OR_RETURN(message.tool_calls,
                     ReadToolCalls(Member(messages[i], "tool_calls"), path + ".tool_calls"));
    ASSIGN_OR_RETURN(message.tool_call_id, ReadId(messages[i], "tool_call_id", path));
    if (Member(messages[i], "content").is_null() && message.tool_calls.empty()) {
      return BodyFieldError(path + ".content", "is required");
    }
    out.push_back(std::move(message));
  }
  return out;
}

absl::StatusOr<std::vector<llm::ChatTool>> ReadTools(const ParsedJson& root) {
  std::vector<llm::ChatTool> out;
  const ParsedJson& tools = Member(root, "tools");
  const ParsedJson& choice = Member(root, "tool_choice");
  if (tools.is_null() || choice == "none") return out;
  if (!tools.is_array()) return BodyFieldError("tools", "must be a list");
  for (size_t i = 0; i < tools.size(); ++i) {
    const ParsedJson& function = tools[i].is_object() ? Member(tools[i], "function") : ParsedJson();
    if (!function.is_object() || !Member(function, "name").is_string()) {
      return BodyFieldError(absl::StrCat("tools[", i, "].function"), "needs a name");
    }
    const ParsedJson& description = Member(function, "description");
    const ParsedJson& parameters = Member(function, "parameters");
    out.push_back({function["name"].get<std::string>(),
                   description.is_string() ? description.get<std::string>() : "",
                   parameters.is_null() ? "" : parameters.dump()});
  }
  return out;
}

absl::Status ReadStop(const ParsedJson& stop, Sampling& sampling) {
  if (stop.is_null()) return absl::OkStatus();
  const ParsedJson list = stop.is_string() ? ParsedJson::array({stop}) : stop;
  if (!list.is_array()) return BodyFieldError("stop", "must be a text or a list of texts");
  for (const ParsedJson& text : list) {
    if (!text.is_string()) return BodyFieldError("stop", "must hold texts");
    sampling.stop.push_back(text.get<std::string>());
  }
  return absl::OkStatus();
}

absl::Status ReadLogitBias(const ParsedJson& bias, Sampling& sampling) {
  if (bias.is_null()) return absl::OkStatus();
  if (!bias.is_object()) return BodyFieldError("logit_bias", "must be an object");
  for (const auto& [key, value] : bias.items()) {
    int32_t id = 0;
    if (!absl::SimpleAtoi(key, &id) || !value.is_number()) {
      return BodyFieldError(absl::StrCat("logit_bias.", key), "must map a token id to a number");
    }
    sampling.logit_bias[id] = value.get<double>();
  }
  return absl::OkStatus();
}

absl::Status ReadLogprobs(const ParsedJson& root, Sampling& sampling) {
  bool logprobs = false;
  RETURN_IF_ERROR(ReadBool(root, "logprobs", logprobs));
  std::optional<int64_t> top;
  RETURN_IF_ERROR(ReadInteger(root, "top_logprobs", top));
  if (top && !logprobs) return BodyFieldError("top_logprobs", "needs logprobs to be true");
  if (logprobs) sampling.logprobs = top.value_or(0);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadSalt(const ParsedJson& root) {
  const ParsedJson& salt = Member(root, "cache_salt");
  if (salt.is_null()) return "";
  if (!salt.is_string()) return BodyFieldError("cache_salt", "must be a text");
  return salt.get<std::string>();
}

absl::Status ReadSampling(const ParsedJson& root, Sampling& sampling) {
  RETURN_IF_ERROR(ReadNumber(root, "temperature", sampling.temperature));
  RETURN_IF_ERROR(ReadNumber(root, "top_p", sampling.top_p));
  RETURN_IF_ERROR(ReadInteger(root, "top_k", sampling.top_k));
  RETURN_IF_ERROR(ReadNumber(root, "repetition_penalty", sampling.repetition_penalty));
  RETURN_IF_ERROR(ReadNumber(root, "presence_penalty", sampling.presence_penalty));
  RETURN_IF_ERROR(ReadNumber(root, "frequency_penalty", sampling.frequency_penalty));
  RETURN_IF_ERROR(ReadInteger(root, "seed", sampling.seed));
  RETURN_IF_ERROR(ReadInteger(root, "n", sampling.n));
  RETURN_IF_ERROR(ReadInteger(root, "max_tokens", sampling.max_tokens));
  RETURN_IF_ERROR(ReadInteger(root, "max_completion_tokens", sampling.max_tokens));
  RETURN_IF_ERROR(ReadStop(Member(root, "stop"), sampling));
  RETURN_IF_ERROR(ReadLogitBias(Member(root, "logit_bias"), sampling));
  RETURN_IF_ERROR(ReadLogprobs(root, sampling));
  return Validate(sampling, "");
}

}  // namespace

absl::StatusOr<ChatRequest> ParseChatRequest(std::string_view body) {
  const ParsedJson root = ParseBody(body);
  if (!root.is_object())
    return BodyFieldError("body", "must be a JSON object, at most 200 levels deep");
  ChatRequest request;
  if (!Member(root, "model").is_string())
    return BodyFieldError("model", "is required and must be a text");
  request.command.model = root["model"].get<std::string>();
  ChatPrompt prompt;
  ASSIGN_OR_RETURN(prompt.messages, ReadMessages(Member(root, "messages")));
  ASSIGN_OR_RETURN(prompt.tools, ReadTools(root));
  request.command.prompt = std::move(prompt);
  request.command.prompt_field = "messages";
  StreamFields stream;
  RETURN_IF_ERROR(ReadGenerationFields(root, body, request.command, stream));
  request.stream = stream.stream;
  request.include_usage = stream.include_usage;
  return request;
}

absl::Status ReadGenerationFields(const nlohmann::json& root, std::string_view body,
                                  GenerateCommand& command, StreamFields& stream) {
  RETURN_IF_ERROR(RefuseUnserved(root));
  RETURN_IF_ERROR(ReadConstraint(root, body, command));
  RETURN_IF_ERROR(RefuseOneCallOnly(root, command));
  ASSIGN_OR_RETURN(command.cache_salt, ReadSalt(root));
  RETURN_IF_ERROR(ReadAdapterMix(root, command));
  RETURN_IF_ERROR(ReadSampling(root, command.sampling));
  RETURN_IF_ERROR(ReadBool(root, "stream", stream.stream));
  const ParsedJson& options = Member(root, "stream_options");
  if (options.is_null()) return absl::OkStatus();
  if (!options.is_object()) return BodyFieldError("stream_options", "must be an object");
  if (!stream.stream) return BodyFieldError("stream_options", "needs stream to be true");
  return ReadBool(options, "include_usage", stream.include_usage);
}

}  // namespace crossover::inference
