#include "services/model_server/transport/proto_convert.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::inference {
namespace {

absl::Status ProtoFieldError(const std::string& field, const std::string& rule,
                             const char* reason = "FIELD_INVALID") {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(field, " ", rule),
               {.reason = reason, .violations = {{field, rule}}});
}

absl::StatusOr<llm::ChatMessage> ToMessage(const type::v1::ChatMessage& message,
                                           const std::string& path) {
  llm::ChatMessage out{.role = message.role(), .content = message.content()};
  for (int i = 0; i < message.parts_size(); ++i) {
    if (message.parts(i).type() != "text") {
      return ProtoFieldError(
          absl::StrCat(path, ".parts[", i, "].type"),
          absl::StrCat("is '", message.parts(i).type(), "'; this model reads text only"));
    }
    out.content += message.parts(i).text();
  }
  for (const auto& call : message.tool_calls())
    out.tool_calls.push_back({call.name(), call.arguments(), call.id()});
  out.tool_call_id = message.tool_call_id();
  if (message.has_weight()) out.weight = message.weight();
  return out;
}

absl::StatusOr<Sampling> ToSampling(const type::v1::Sampling& sampling) {
  Sampling out;
  if (sampling.has_temperature()) out.temperature = sampling.temperature();
  if (sampling.has_top_p()) out.top_p = sampling.top_p();
  if (sampling.has_top_k()) out.top_k = sampling.top_k();
  if (sampling.has_seed()) out.seed = sampling.seed();
  if (sampling.has_n()) out.n = sampling.n();
  if (sampling.has_max_tokens()) out.max_tokens = sampling.max_tokens();
  if (sampling.has_logprobs()) out.logprobs = sampling.logprobs();
  out.stop.assign(sampling.stop().begin(), sampling.stop().end());
  for (const auto& [id, bias] : sampling.logit_bias()) out.logit_bias.emplace(id, bias);
  if (sampling.has_repetition_penalty()) out.repetition_penalty = sampling.repetition_penalty();
  RETURN_IF_ERROR(Validate(out, "sampling."));
  return out;
}

// The constraint, or what stands for it in the sampling.
void ReadProtoConstraint(const pb::GenerateRequest& request, GenerateCommand& command) {
  using Kind = llm::ConstraintSpec::Kind;
  const type::v1::ResponseFormat& format = request.sampling().response_format();
  const auto set = [&](const char* field, llm::ConstraintSpec spec) {
    command.constraint = std::move(spec);
    command.constraint_field = field;
  };
  switch (request.constraint_case()) {
    case pb::GenerateRequest::kJsonSchema:
      return set("json_schema", {.kind = Kind::kJsonSchema, .text = request.json_schema()});
    case pb::GenerateRequest::kRegex:
      return set("regex", {.kind = Kind::kRegex, .text = request.regex()});
    case pb::GenerateRequest::kChoice:
      return set("choice",
                 {.kind = Kind::kChoice,
                  .choices = {request.choice().texts().begin(), request.choice().texts().end()}});
    default:
      break;
  }
  if (format.type() == type::v1::ResponseFormat::JSON_OBJECT)
    return set("sampling.response_format", {.kind = Kind::kJsonObject});
  if (format.type() == type::v1::ResponseFormat::JSON_SCHEMA)
    return set("sampling.response_format.json_schema",
               {.kind = Kind::kJsonSchema, .text = format.json_schema()});
}

// GenerateRequest and ScoreRequest::Item have the same choice of prompts.
template <typename Request>
absl::StatusOr<Prompt> ToPrompt(const Request& request, const std::string& prefix) {
  switch (request.prompt_case()) {
    case Request::kChat: {
      ASSIGN_OR_RETURN(ChatPrompt chat, ToChat(request.chat(), absl::StrCat(prefix, "chat.")));
      return Prompt(std::move(chat));
    }
    case Request::kTokens:
      return Prompt(
          std::vector<int32_t>(request.tokens().ids().begin(), request.tokens().ids().end()));
    case Request::kText:
      return Prompt(request.text());
    default:
      return ProtoFieldError(absl::StrCat(prefix, "prompt"), "is required: chat, tokens or text");
  }
}

// What an error about the prompt as a whole names.
template <typename Request>
std::string PromptFieldOf(const Request& request, const std::string& prefix) {
  if (request.has_chat()) return prefix + "chat.messages";
  return prefix + (request.has_tokens() ? "tokens.ids" : "text");
}

google::protobuf::Duration ToProtoDuration(absl::Duration duration) {
  google::protobuf::Duration out;
  const int64_t nanos = absl::ToInt64Nanoseconds(duration);
  out.set_seconds(nanos / 1'000'000'000);
  out.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  return out;
}

}  // namespace

absl::StatusOr<ChatPrompt> ToChat(const pb::GenerateRequest::Chat& chat,
                                  const std::string& prefix) {
  ChatPrompt out{.date = chat.template_date()};
  for (int i = 0; i < chat.messages_size(); ++i) {
    ASSIGN_OR_RETURN(llm::ChatMessage message,
                     ToMessage(chat.messages(i), absl::StrCat(prefix, "messages[", i, "]")));
    out.messages.push_back(std::move(message));
  }
  for (const auto& tool : chat.tools())
    out.tools.push_back({tool.name(), tool.description(), tool.parameters()});
  return out;
}

absl::StatusOr<GenerateCommand> ToCommand(const pb::GenerateRequest& request) {
  GenerateCommand command{
      .model = request.model(), .cache_salt = request.cache_salt(), .no_cache = request.no_cache()};
  if (command.model.empty()) return ProtoFieldError("model", "is required", "FIELD_REQUIRED");
  for (const auto& share : request.adapter_mix())
    command.mix.push_back({share.digest(), share.weight()});
  command.priority = request.priority();
  ASSIGN_OR_RETURN(command.prompt, ToPrompt(request, ""));
  command.prompt_field = PromptFieldOf(request, "");
  ASSIGN_OR_RETURN(command.sampling, ToSampling(request.sampling()));
  ReadProtoConstraint(request, command);
  return command;
}

absl::StatusOr<ScoreCommand> ToCommand(const pb::ScoreRequest& request) {
  ScoreCommand command{.model = request.model()};
  if (command.model.empty()) return ProtoFieldError("model", "is required", "FIELD_REQUIRED");
  if (request.items_size() < 1 || request.items_size() > 256)
    return ProtoFieldError("items", "must hold 1 to 256 items");
  for (int i = 0; i < request.items_size(); ++i) {
    ScoreItem item;
    const std::string prefix = absl::StrCat("items[", i, "].");
    ASSIGN_OR_RETURN(item.prompt, ToPrompt(request.items(i), prefix));
    item.prompt_field = PromptFieldOf(request.items(i), prefix);
    item.continuations.assign(request.items(i).continuations().begin(),
                              request.items(i).continuations().end());
    command.items.push_back(std::move(item));
  }
  return command;
}

void ToProto(const TokenUsage& usage, type::v1::Usage* out) {
  out->set_input(usage.input);
  out->set_cached_input(usage.cached_input);
  out->set_output(usage.output);
}

void ToProto(const RequestTiming& timing, pb::Timing* out) {
  *out->mutable_queue() = ToProtoDuration(timing.queue);
  *out->mutable_first_token() = ToProtoDuration(timing.first_token);
  *out->mutable_total() = ToProtoDuration(timing.total);
}

void ToProto(const llm::GeneratedToken& token, const llm::Tokenizer& tokenizer,
             pb::TokenLogprob* out) {
  out->set_token(token.id);
  out->set_text(std::string(tokenizer.Bytes(token.id)));
  out->set_logprob(token.logprob);
  for (const llm::TokenLogprob& other : token.top) {
    auto* alternative = out->add_alternatives();
    alternative->set_token(other.id);
    alternative->set_text(std::string(tokenizer.Bytes(other.id)));
    alternative->set_logprob(other.logprob);
  }
}

void ToProto(const llm::ToolCall& call, type::v1::ToolCall* out) {
  out->set_type("function");
  out->set_name(call.name);
  out->set_arguments(call.arguments);
}

pb::LoadedModel ToProto(const ModelInfo& info) {
  pb::LoadedModel out;
  out.set_name("loadedModels/" + info.digest);
  out.set_digest(info.digest);
  out.set_kind(info.kind == ModelKind::kBase ? pb::LoadedModel::BASE : pb::LoadedModel::ADAPTER);
  for (const std::string& alias : info.aliases) out.add_aliases(alias);
  out.set_size_bytes(info.bytes);
  switch (info.state) {
    case ModelState::kLoading:
      out.set_state(pb::LoadedModel::LOADING);
      break;
    case ModelState::kReady:
      out.set_state(pb::LoadedModel::READY);
      break;
    case ModelState::kUnloading:
      out.set_state(pb::LoadedModel::UNLOADING);
      break;
  }
  out.set_pinned(info.pinned);
  out.set_in_flight(info.in_flight);
  if (info.last_used != absl::InfinitePast()) {
    const int64_t nanos = absl::ToUnixNanos(info.last_used);
    out.mutable_last_used_time()->set_seconds(nanos / 1'000'000'000);
    out.mutable_last_used_time()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  }
  out.set_base_digest(info.base_digest);
  out.set_architecture(info.architecture);
  out.set_context_length(info.context_length);
  out.set_rank(info.rank);
  return out;
}

}  // namespace crossover::inference
