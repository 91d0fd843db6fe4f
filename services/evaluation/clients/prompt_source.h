// Prompt versions from the registry, as values that common/prompt renders.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/prompt/prompt_spec.h"
#include "crossover/registry/v1/prompt_service.grpc.pb.h"
#include "services/evaluation/clients/channels.h"

namespace crossover::evaluation {

// Thread-safe. Versions never change, so they are asked for once.
class PromptSource {
 public:
  explicit PromptSource(const Channels& channels);

  // Name of a version: the name itself, or a prompt's active (else newest) version.
  // FailedPrecondition PROMPT_INVALID for a prompt without versions.
  absl::StatusOr<std::string> Pin(const std::string& name);
  absl::StatusOr<registry::v1::PromptVersion> Version(const std::string& name);
  absl::StatusOr<std::shared_ptr<const prompt::PromptSpec>> Spec(const std::string& version);

 private:
  std::unique_ptr<registry::v1::PromptService::Stub> stub_;
  std::string api_key_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<const prompt::PromptSpec>> specs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::evaluation
