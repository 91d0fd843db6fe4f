#include "services/evaluation/clients/prompt_source.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::evaluation {
namespace {

namespace pb = ::crossover::registry::v1;
namespace type = ::crossover::type::v1;

prompt::Sampling ToSampling(const type::Sampling& in) {
  prompt::Sampling out;
  if (in.has_temperature()) out.temperature = in.temperature();
  if (in.has_top_p()) out.top_p = in.top_p();
  if (in.has_top_k()) out.top_k = in.top_k();
  if (in.has_max_tokens()) out.max_tokens = in.max_tokens();
  if (in.has_seed()) out.seed = in.seed();
  out.stop.assign(in.stop().begin(), in.stop().end());
  return out;
}

std::string ToResponseFormat(const type::ResponseFormat& format) {
  switch (format.type()) {
    case type::ResponseFormat::JSON_OBJECT:
      return R"({"type":"json_object"})";
    case type::ResponseFormat::JSON_SCHEMA: {
      nlohmann::json schema = nlohmann::json::parse(format.json_schema(), nullptr, false);
      nlohmann::json body = {{"name", format.name().empty() ? "answer" : format.name()},
                             {"schema", schema},
                             {"strict", format.strict()}};
      return nlohmann::json({{"type", "json_schema"}, {"json_schema", body}}).dump();
    }
    default:
      return "";
  }
}

// One example as a row: `input` alone is the user's turn as it is; other variables are rendered
// into it by the template.
dataset::Row ToRow(const pb::PromptSpec::FewShot::Example& example) {
  dataset::Row row;
  auto input = example.input().find(std::string(prompt::kInput));
  row.messages = {{.role = "user", .content = input == example.input().end() ? "" : input->second},
                  {.role = "assistant", .content = example.output()}};
  return row;
}

}  // namespace

prompt::PromptSpec ToPromptSpec(const pb::PromptSpec& in) {
  prompt::PromptSpec out;
  for (const type::ChatMessage& message : in.messages())
    out.messages.push_back({message.role(), message.content()});
  out.variables = in.variables_schema();
  for (const auto& example : in.few_shot().rows()) out.few_shot.push_back(ToRow(example));
  if (in.few_shot().has_dynamic()) {
    const auto& dynamic = in.few_shot().dynamic();
    out.dynamic_few_shot = nlohmann::json({{"dataset_version", dynamic.dataset_version()},
                                           {"k", dynamic.k()},
                                           {"index", dynamic.index()}})
                               .dump();
  }
  if (in.strategy() == pb::PromptSpec::STEP_BY_STEP) out.strategy = prompt::Strategy::kStepByStep;
  if (in.strategy() == pb::PromptSpec::DECOMPOSED) out.strategy = prompt::Strategy::kDecomposed;
  if (in.has_retrieval()) {
    out.retrieval = nlohmann::json({{"collection", in.retrieval().collection()},
                                    {"k", in.retrieval().k()},
                                    {"max_tokens", in.retrieval().max_tokens()}})
                        .dump();
  }
  out.response_format = ToResponseFormat(in.response_format());
  out.sampling = ToSampling(in.sampling());
  return out;
}

PromptSource::PromptSource(const Channels& channels)
    : stub_(pb::PromptService::NewStub(channels.registry)), api_key_(channels.api_key) {}

absl::StatusOr<std::string> PromptSource::Pin(const std::string& name) {
  if (absl::StrContains(name, "/versions/")) return name;
  pb::GetPromptRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(pb::Prompt found,
                   rpc::Invoke(*stub_, &pb::PromptService::Stub::GetPrompt, request,
                               {.idempotent = true, .api_key = api_key_}));
  const std::string& version =
      found.active_version().empty() ? found.latest_version() : found.active_version();
  if (!version.empty()) return version;
  return Error(absl::StatusCode::kFailedPrecondition, "PROMPT_INVALID",
               absl::StrCat(name, " has no version yet"));
}

absl::StatusOr<pb::PromptVersion> PromptSource::Version(const std::string& name) {
  pb::GetPromptVersionRequest request;
  request.set_name(name);
  return rpc::Invoke(*stub_, &pb::PromptService::Stub::GetPromptVersion, request,
                     {.idempotent = true, .api_key = api_key_});
}

absl::StatusOr<std::shared_ptr<const prompt::PromptSpec>> PromptSource::Spec(
    const std::string& version) {
  {
    absl::MutexLock lock(&mutex_);
    if (auto found = specs_.find(version); found != specs_.end()) return found->second;
  }
  ASSIGN_OR_RETURN(pb::PromptVersion stored, Version(version));
  auto spec = std::make_shared<const prompt::PromptSpec>(ToPromptSpec(stored.spec()));
  absl::MutexLock lock(&mutex_);
  return specs_.emplace(version, std::move(spec)).first->second;
}

}  // namespace crossover::evaluation
