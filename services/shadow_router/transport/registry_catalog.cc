#include "services/shadow_router/transport/registry_catalog.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/context/request_context.h"
#include "common/prompt/from_proto.h"
#include "common/prompt/render.h"
#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/route.h"
#include "services/shadow_router/transport/convert.h"
#include "services/shadow_router/transport/convert_util.h"

namespace crossover::router {
namespace {

namespace reg = ::crossover::registry::v1;

constexpr absl::Duration kCatalogTimeout = absl::Seconds(2);
constexpr absl::Duration kPause = absl::Seconds(2);

Prices PricesOf(const type::v1::TokenPrices& proto) {
  Prices prices{.input = ToUsd(proto.input()),
                .cached_input = ToUsd(proto.input()),
                .output = ToUsd(proto.output())};
  if (proto.has_cached_input()) prices.cached_input = ToUsd(proto.cached_input());
  return prices;
}

RecordPolicy RecordOf(const reg::DataPolicy& policy) {
  switch (policy.record()) {
    case reg::DataPolicy::OFF:
      return RecordPolicy::kOff;
    case reg::DataPolicy::REDACTED:
      return RecordPolicy::kRedacted;
    case reg::DataPolicy::FULL:
      return RecordPolicy::kFull;
    default:
      return RecordPolicy::kMetadata;
  }
}

bool IsVersionName(const std::string& name) { return name.find("/versions/") != std::string::npos; }

}  // namespace

RegistryCatalog::RegistryCatalog(const std::shared_ptr<grpc::Channel>& channel, Clock& clock)
    : clock_(clock),
      prompts_(reg::PromptService::NewStub(channel)),
      upstreams_(reg::UpstreamService::NewStub(channel)),
      tasks_(reg::TaskService::NewStub(channel)) {}

absl::Status RegistryCatalog::CheckUp() {
  absl::MutexLock lock(&mutex_);
  if (clock_.SteadyNow() >= down_until_) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable, "SERVICE_UNAVAILABLE",
               "the registry did not answer a moment ago");
}

void RegistryCatalog::Note(const absl::Status& status) {
  if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return;
  absl::MutexLock lock(&mutex_);
  down_until_ = clock_.SteadyNow() + kPause;
}

template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> RegistryCatalog::Ask(
    Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
    const std::string& name) {
  RETURN_IF_ERROR(CheckUp());
  Request request;
  request.set_name(name);
  // Whoever changes a route makes all projects' routes be read anew: the router asks for itself.
  RequestContext context = RequestContext::Current();
  context.project.clear();
  const ScopedContext scope(std::move(context));
  absl::StatusOr<Response> response =
      rpc::Invoke(stub, method, request, {.timeout = kCatalogTimeout, .max_attempts = 1});
  Note(response.status());
  return response;
}

absl::StatusOr<prompt::PromptSpec> FromProto(const reg::PromptSpec& proto) {
  ASSIGN_OR_RETURN(prompt::PromptSpec spec, prompt::FromProto(proto));
  RETURN_IF_ERROR(prompt::CheckRenderable(spec));
  return spec;
}

absl::StatusOr<PromptInfo> RegistryCatalog::GetPrompt(const std::string& name) {
  std::string version = name;
  if (!IsVersionName(name)) {
    ASSIGN_OR_RETURN(const reg::Prompt prompt,
                     Ask(*prompts_, &reg::PromptService::Stub::GetPrompt, name));
    version = prompt.active_version();
    if (version.empty()) {
      return Error(absl::StatusCode::kFailedPrecondition, "STATE_INVALID",
                   absl::StrCat(name, " has no active version"));
    }
  }
  ASSIGN_OR_RETURN(const reg::PromptVersion found,
                   Ask(*prompts_, &reg::PromptService::Stub::GetPromptVersion, version));
  ASSIGN_OR_RETURN(prompt::PromptSpec spec, FromProto(found.spec()));
  return PromptInfo{.digest = found.digest(),
                    .version = found.name(),
                    .evaluated = !found.evaluation().empty(),
                    .spec = std::make_shared<const prompt::PromptSpec>(std::move(spec))};
}

absl::StatusOr<UpstreamInfo> RegistryCatalog::GetUpstream(const std::string& name) {
  ASSIGN_OR_RETURN(const reg::Upstream found,
                   Ask(*upstreams_, &reg::UpstreamService::Stub::GetUpstream, name));
  UpstreamInfo info{.name = LastSegment(found.name()),
                    .base_url = found.base_url(),
                    .prices = PricesOf(found.prices())};
  ASSIGN_OR_RETURN(info.api_key, ReadCredential(found.credential_ref()));
  if (found.has_timeout()) info.timeout = ToAbslDuration(found.timeout());
  info.data_processor = !found.data_processor().empty();
  return info;
}

absl::StatusOr<std::string> ReadCredential(const std::string& reference) {
  if (reference.empty()) return "";
  const auto missing = [&](const char* what) {
    return Error(absl::StatusCode::kFailedPrecondition, "CONFIG_INVALID",
                 absl::StrCat("credential_ref '", reference, "': ", what));
  };
  if (reference.rfind("env:", 0) == 0) {
    const char* value = std::getenv(reference.c_str() + 4);
    if (value == nullptr || *value == '\0')
      return missing("the variable is not set in the router's environment");
    return std::string(value);
  }
  if (reference.rfind("file:", 0) == 0) {
    std::ifstream file(reference.substr(5));
    if (!file) return missing("the file cannot be read");
    std::string value((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    return std::string(absl::StripAsciiWhitespace(value));
  }
  return missing("must be env:NAME or file:/path");
}

TaskInfo FromProto(const reg::Task& proto) {
  TaskInfo info;
  const reg::OutputContract& contract = proto.output_contract();
  info.contract.label_set.assign(contract.label_set().labels().begin(),
                                 contract.label_set().labels().end());
  info.contract.json_schema = contract.json_schema();
  for (const reg::GraderSpec& grader : contract.graders()) {
    // Graders that only evaluation knows are left to evaluation.
    auto spec = ComparatorFrom(grader.kind(), grader.parameters(), "output_contract.graders");
    if (spec.ok()) info.comparators.push_back(*std::move(spec));
  }
  info.record = RecordOf(proto.data_policy());
  info.mirror_to.assign(proto.data_policy().mirror_to().begin(),
                        proto.data_policy().mirror_to().end());
  return info;
}

absl::StatusOr<TaskInfo> RegistryCatalog::GetTask(const std::string& name) {
  ASSIGN_OR_RETURN(const reg::Task found, Ask(*tasks_, &reg::TaskService::Stub::GetTask, name));
  return FromProto(found);
}

}  // namespace crossover::router
