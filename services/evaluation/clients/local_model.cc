#include "services/evaluation/clients/local_model.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"
#include "common/rpc/error_mapper.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::evaluation {
namespace {

namespace inference_pb = ::crossover::inference::v1;
namespace type = ::crossover::type::v1;

// Loading a base or an adapter reads files.
constexpr absl::Duration kLoadTimeout = absl::Minutes(2);

type::ChatMessage ToProto(const dataset::Message& message) {
  type::ChatMessage out;
  out.set_role(message.role);
  std::string text = dataset::TextOf(message);
  if (message.content || !text.empty()) out.set_content(text);
  for (const dataset::ToolCall& call : message.tool_calls) {
    type::ToolCall* added = out.add_tool_calls();
    added->set_id(call.id);
    added->set_type("function");
    added->set_name(call.name);
    added->set_arguments(call.arguments);
  }
  out.set_tool_call_id(message.tool_call_id);
  out.set_name(message.name);
  return out;
}

void SetSampling(const prompt::Sampling& in, type::Sampling* out) {
  if (in.temperature) out->set_temperature(*in.temperature);
  if (in.top_p) out->set_top_p(*in.top_p);
  if (in.top_k) out->set_top_k(static_cast<int32_t>(*in.top_k));
  if (in.max_tokens) out->set_max_tokens(*in.max_tokens);
  if (in.seed) out->set_seed(*in.seed);
  for (const std::string& stop : in.stop) out->add_stop(stop);
}

void SetFormat(const std::string& format, type::Sampling* out) {
  nlohmann::json json = nlohmann::json::parse(format, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return;
  std::string kind = json.value("type", "");
  auto* target = out->mutable_response_format();
  if (kind == "json_object") target->set_type(type::ResponseFormat::JSON_OBJECT);
  if (kind != "json_schema" || !json.contains("json_schema") || !json["json_schema"].is_object())
    return;
  const nlohmann::json& schema = json["json_schema"];
  target->set_type(type::ResponseFormat::JSON_SCHEMA);
  target->set_name(schema.value("name", ""));
  target->set_json_schema(schema.value("schema", nlohmann::json::object()).dump());
  target->set_strict(schema.value("strict", false));
}

// The digest at the end of `sha256:…`, or of a resource name that ends in one; else empty.
std::string DigestIn(const std::string& name) {
  size_t at = name.rfind("sha256:");
  return at == std::string::npos ? "" : name.substr(at);
}

std::string LastSegment(const std::string& name) {
  size_t slash = name.rfind('/');
  return slash == std::string::npos ? name : name.substr(slash + 1);
}

bool Answers(const inference_pb::LoadedModel& model, const std::string& name) {
  return model.digest() == name ||
         std::find(model.aliases().begin(), model.aliases().end(), name) != model.aliases().end();
}

}  // namespace

LocalModel::LocalModel(const Channels& channels, Clock& clock)
    : stub_(inference_pb::InferenceService::NewStub(channels.inference)),
      api_key_(channels.api_key),
      clock_(clock) {}

absl::StatusOr<std::string> LocalModel::DigestOf(const std::string& name) {
  inference_pb::ListLoadedModelsResponse models;
  // A model that is not loaded yet is, once it is asked for something.
  for (const bool asked : {false, true}) {
    if (asked) {
      inference_pb::TokenizeRequest request;
      request.set_model(name);
      request.add_texts("");
      const auto tokens =
          rpc::Invoke(*stub_, &inference_pb::InferenceService::Stub::Tokenize, request,
                      {.timeout = kLoadTimeout, .idempotent = true, .api_key = api_key_});
      if (absl::IsNotFound(tokens.status())) break;
      RETURN_IF_ERROR(tokens.status());
    }
    ASSIGN_OR_RETURN(
        models, rpc::Invoke(*stub_, &inference_pb::InferenceService::Stub::ListLoadedModels, {},
                            {.idempotent = true, .api_key = api_key_}));
    for (const inference_pb::LoadedModel& model : models.loaded_models()) {
      if (Answers(model, name) || Answers(model, LastSegment(name))) return model.digest();
    }
  }
  std::string known;
  for (const inference_pb::LoadedModel& model : models.loaded_models()) {
    absl::StrAppend(&known, known.empty() ? "" : ", ",
                    model.aliases().empty() ? model.digest() : model.aliases(0));
  }
  return Error(absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
               absl::StrCat("no model '", name, "'; loaded are: ", known.empty() ? "none" : known));
}

absl::StatusOr<System> LocalModel::Resolve(System system) {
  system.model_digest = DigestIn(system.model);
  if (system.model_digest.empty()) {
    ASSIGN_OR_RETURN(system.model_digest, DigestOf(system.model));
  }
  if (system.kind != ModelKind::kAdapter) return system;
  inference_pb::LoadAdapterRequest request;
  request.set_digest(system.model_digest);
  ASSIGN_OR_RETURN(inference_pb::LoadedModel loaded,
                   rpc::Invoke(*stub_, &inference_pb::InferenceService::Stub::LoadAdapter, request,
                               {.timeout = kLoadTimeout, .idempotent = true, .api_key = api_key_}));
  system.base_digest = loaded.base_digest();
  return system;
}

absl::StatusOr<Reply> LocalModel::Ask(const System& system, const RenderedQuestion& question,
                                      absl::Duration timeout) {
  inference_pb::GenerateRequest request;
  request.set_model(system.model_digest.empty() ? system.model : system.model_digest);
  for (const dataset::Message& message : question.messages)
    *request.mutable_chat()->add_messages() = ToProto(message);
  SetSampling(question.sampling, request.mutable_sampling());
  SetFormat(question.response_format, request.mutable_sampling());

  grpc::ClientContext context;
  rpc::PrepareContext(context, {.timeout = timeout, .api_key = api_key_});
  absl::Duration sent = clock_.SteadyNow();
  auto stream = stub_->Generate(&context, request);
  Reply reply;
  inference_pb::GenerateResponse piece;
  while (stream->Read(&piece)) {
    if (reply.first_token_seconds == 0 && (!piece.text().empty() || piece.tokens_size() > 0)) {
      reply.first_token_seconds = absl::ToDoubleSeconds(clock_.SteadyNow() - sent);
    }
    reply.output += piece.text();
    if (!piece.finish_reason().empty()) reply.finish_reason = piece.finish_reason();
    if (!piece.system_fingerprint().empty()) reply.revision = piece.system_fingerprint();
    if (piece.has_usage()) {
      reply.usage = {.input = piece.usage().input(),
                     .cached_input = piece.usage().cached_input(),
                     .output = piece.usage().output()};
    }
  }
  grpc::Status status = stream->Finish();
  reply.latency_seconds = absl::ToDoubleSeconds(clock_.SteadyNow() - sent);
  if (!status.ok()) return rpc::FromGrpc(status);
  return reply;
}

}  // namespace crossover::evaluation
