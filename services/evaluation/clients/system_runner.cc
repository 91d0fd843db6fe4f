#include "services/evaluation/clients/system_runner.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/prompt/render.h"
#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "crossover/registry/v1/project_service.grpc.pb.h"
#include "crossover/registry/v1/upstream_service.grpc.pb.h"
#include "services/evaluation/clients/local_model.h"
#include "services/evaluation/clients/prices.h"
#include "services/evaluation/clients/prompt_source.h"
#include "services/evaluation/clients/upstream_model.h"

namespace crossover::evaluation {
namespace {

namespace registry_pb = ::crossover::registry::v1;

// What an upstream needs to be asked; read again at every Resolve, so that a changed key or address
// is seen by the next run.
struct UpstreamRecord {
  UpstreamAddress address;
  absl::Duration timeout;
};

class HouseRunner final : public SystemRunner {
 public:
  HouseRunner(const Channels& channels, Clock& clock, SystemRunnerOptions options)
      : options_(options),
        api_key_(channels.api_key),
        prompts_(channels),
        local_(channels, clock),
        upstream_(clock),
        projects_(registry_pb::ProjectService::NewStub(channels.registry)),
        upstreams_(registry_pb::UpstreamService::NewStub(channels.registry)) {}

  absl::StatusOr<Resolved> Resolve(const std::string& project, const System& wanted) override {
    Resolved resolved{.system = wanted};
    System& system = resolved.system;
    if (!system.prompt_version.empty()) {
      ASSIGN_OR_RETURN(system.prompt_version, prompts_.Pin(system.prompt_version));
      ASSIGN_OR_RETURN(const auto spec, prompts_.Spec(system.prompt_version));
      RETURN_IF_ERROR(prompt::CheckRenderable(*spec));
    }
    switch (system.kind) {
      case ModelKind::kNone:
        return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                     "model: base_model, adapter or upstream is needed");
      case ModelKind::kUpstream: {
        ASSIGN_OR_RETURN(registry_pb::Upstream record, Load(system.upstream));
        auto own = record.model_prices().find(system.model);
        resolved.prices =
            ToPrices(own == record.model_prices().end() ? record.prices() : own->second,
                     "price list of " + system.upstream);
        auto revision = record.last_revision().find(system.model);
        if (system.revision.empty() && revision != record.last_revision().end())
          system.revision = revision->second;
        break;
      }
      default: {
        ASSIGN_OR_RETURN(system, local_.Resolve(system));
        ASSIGN_OR_RETURN(resolved.prices, ServingPrices(project));
      }
    }
    system = WithDigest(std::move(system));
    return resolved;
  }

  absl::StatusOr<Reply> Ask(const System& system, const SuiteRow& row, int) override {
    std::shared_ptr<const prompt::PromptSpec> spec;
    if (!system.prompt_version.empty()) {
      ASSIGN_OR_RETURN(spec, prompts_.Spec(system.prompt_version));
    }
    ASSIGN_OR_RETURN(RenderedQuestion question, RenderQuestion(system, spec.get(), row));
    absl::Duration timeout =
        system.timeout_seconds > 0 ? absl::Seconds(system.timeout_seconds) : options_.timeout;
    if (system.kind != ModelKind::kUpstream) return local_.Ask(system, question, timeout);
    ASSIGN_OR_RETURN(UpstreamRecord record, Address(system.upstream));
    if (system.timeout_seconds <= 0 && record.timeout > absl::ZeroDuration())
      timeout = record.timeout;
    return upstream_.Ask(record.address, system.model, question, timeout);
  }

 private:
  absl::StatusOr<registry_pb::Upstream> Load(const std::string& name) {
    registry_pb::GetUpstreamRequest request;
    request.set_name(name);
    ASSIGN_OR_RETURN(registry_pb::Upstream record,
                     rpc::Invoke(*upstreams_, &registry_pb::UpstreamService::Stub::GetUpstream,
                                 request, {.idempotent = true, .api_key = api_key_}));
    ASSIGN_OR_RETURN(std::string key, ReadCredential(record.credential_ref()));
    absl::MutexLock lock(&mutex_);
    known_[name] = {
        {record.base_url(), key},
        absl::Seconds(record.timeout().seconds()) + absl::Nanoseconds(record.timeout().nanos())};
    return record;
  }

  absl::StatusOr<UpstreamRecord> Address(const std::string& name) {
    {
      absl::MutexLock lock(&mutex_);
      if (auto found = known_.find(name); found != known_.end()) return found->second;
    }
    RETURN_IF_ERROR(Load(name).status());
    absl::MutexLock lock(&mutex_);
    return known_[name];
  }

  // The price of tokens on the project's own machines, as declared.
  absl::StatusOr<Prices> ServingPrices(const std::string& name) {
    registry_pb::GetProjectRequest request;
    request.set_name(name);
    absl::StatusOr<registry_pb::Project> project =
        rpc::Invoke(*projects_, &registry_pb::ProjectService::Stub::GetProject, request,
                    {.idempotent = true, .api_key = api_key_});
    if (absl::IsNotFound(project.status())) return Prices{};
    if (!project.ok()) return project.status();
    return project->price_list().has_serving()
               ? ToPrices(project->price_list().serving(), kProjectPrices)
               : Prices{};
  }

  SystemRunnerOptions options_;
  std::string api_key_;
  PromptSource prompts_;
  LocalModel local_;
  UpstreamModel upstream_;
  std::unique_ptr<registry_pb::ProjectService::Stub> projects_;
  std::unique_ptr<registry_pb::UpstreamService::Stub> upstreams_;
  absl::Mutex mutex_;
  std::map<std::string, UpstreamRecord> known_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<SystemRunner> NewSystemRunner(const Channels& channels, Clock& clock,
                                              SystemRunnerOptions options) {
  return std::make_unique<HouseRunner>(channels, clock, options);
}

}  // namespace crossover::evaluation
