#include "services/evaluation/clients/prompt_source.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/prompt/from_proto.h"
#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::evaluation {
namespace {

namespace registry_pb = ::crossover::registry::v1;

}  // namespace

PromptSource::PromptSource(const Channels& channels)
    : stub_(registry_pb::PromptService::NewStub(channels.registry)), api_key_(channels.api_key) {}

absl::StatusOr<std::string> PromptSource::Pin(const std::string& name) {
  if (absl::StrContains(name, "/versions/")) return name;
  registry_pb::GetPromptRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(registry_pb::Prompt found,
                   rpc::Invoke(*stub_, &registry_pb::PromptService::Stub::GetPrompt, request,
                               {.idempotent = true, .api_key = api_key_}));
  const std::string& version =
      found.active_version().empty() ? found.latest_version() : found.active_version();
  if (!version.empty()) return version;
  return Error(absl::StatusCode::kFailedPrecondition, "PROMPT_INVALID",
               absl::StrCat(name, " has no version yet"));
}

absl::StatusOr<registry_pb::PromptVersion> PromptSource::Version(const std::string& name) {
  registry_pb::GetPromptVersionRequest request;
  request.set_name(name);
  return rpc::Invoke(*stub_, &registry_pb::PromptService::Stub::GetPromptVersion, request,
                     {.idempotent = true, .api_key = api_key_});
}

absl::StatusOr<std::shared_ptr<const prompt::PromptSpec>> PromptSource::Spec(
    const std::string& version) {
  {
    absl::MutexLock lock(&mutex_);
    if (auto found = specs_.find(version); found != specs_.end()) return found->second;
  }
  ASSIGN_OR_RETURN(registry_pb::PromptVersion stored, Version(version));
  ASSIGN_OR_RETURN(prompt::PromptSpec converted, prompt::FromProto(stored.spec()));
  auto spec = std::make_shared<const prompt::PromptSpec>(std::move(converted));
  absl::MutexLock lock(&mutex_);
  return specs_.emplace(version, std::move(spec)).first->second;
}

}  // namespace crossover::evaluation
