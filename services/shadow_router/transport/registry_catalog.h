// The catalogue over registry.v1: how the router learns of prompts, upstreams and tasks.
#pragma once

#include <memory>

#include <grpcpp/channel.h>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "crossover/registry/v1/prompt_service.grpc.pb.h"
#include "crossover/registry/v1/task_service.grpc.pb.h"
#include "crossover/registry/v1/upstream_service.grpc.pb.h"
#include "services/shadow_router/domain/catalog.h"

namespace crossover::router {

// Thread-safe; blocks for at most two seconds a call. After a call that the registry did not
// answer, further ones fail at once for a moment: a registry that is away must not hold up a
// rollback by one time-out per prompt.
class RegistryCatalog final : public Catalog {
 public:
  RegistryCatalog(const std::shared_ptr<grpc::Channel>& channel, Clock& clock);

  absl::StatusOr<PromptInfo> GetPrompt(const std::string& name) override;
  absl::StatusOr<UpstreamInfo> GetUpstream(const std::string& name) override;
  absl::StatusOr<TaskInfo> GetTask(const std::string& name) override;

 private:
  absl::Status CheckUp();
  void Note(const absl::Status& status);
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Ask(Stub& stub,
                               grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Response*),
                               const std::string& name);

  Clock& clock_;
  absl::Mutex mutex_;
  absl::Duration down_until_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();
  std::unique_ptr<registry::v1::PromptService::Stub> prompts_;
  std::unique_ptr<registry::v1::UpstreamService::Stub> upstreams_;
  std::unique_ptr<registry::v1::TaskService::Stub> tasks_;
};

// The secret that a credential_ref points to: `env:NAME`, `file:/path`, or empty.
// FAILED_PRECONDITION `CONFIG_INVALID` if it is not there; the message names the reference, never
// the secret.
absl::StatusOr<std::string> ReadCredential(const std::string& reference);

// registry.v1.PromptSpec → the form that is rendered. INVALID_ARGUMENT `PROMPT_INVALID`.
absl::StatusOr<prompt::PromptSpec> FromProto(const registry::v1::PromptSpec& proto);

TaskInfo FromProto(const registry::v1::Task& proto);

}  // namespace crossover::router
