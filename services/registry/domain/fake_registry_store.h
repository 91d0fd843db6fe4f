// Records in memory, for tests. Behaves as PgRegistryStore does, as far as
// registry_store_conformance_test can tell.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "common/time/clock.h"
#include "services/registry/domain/registry_store.h"

namespace crossover::registry {

// Thread-safe. Borrows the clock. `projects/default` exists.
class FakeRegistryStore final : public RegistryStore {
 public:
  explicit FakeRegistryStore(Clock& clock);

  absl::StatusOr<Resource> Create(const Resource& resource, const RequestKey& key) override;
  absl::StatusOr<Resource> Get(const ResourceKey& key) override;
  absl::StatusOr<Page<Resource>> List(Kind kind, const std::string& project,
                                      const std::string& parent, const PageQuery& query) override;
  absl::StatusOr<Resource> Update(const Resource& resource) override;
  absl::Status Delete(const ResourceKey& key) override;
  absl::StatusOr<PromptVersion> PutVersion(const PromptVersion& version) override;
  absl::StatusOr<PromptVersion> GetVersion(const PromptKey& prompt,
                                           const std::string& digest) override;
  absl::StatusOr<Page<PromptVersion>> ListVersions(const PromptKey& prompt,
                                                   const PageQuery& query) override;
  absl::StatusOr<PromptVersion> Activate(const PromptKey& prompt, const std::string& digest,
                                         const std::string& evaluation,
                                         const std::string& override_reason) override;
  absl::StatusOr<std::vector<std::string>> ActivationHistory(const PromptKey& prompt) override;
  absl::StatusOr<Heads> HeadsOf(const PromptKey& prompt) override;
  absl::StatusOr<ApiKey> CreateKey(const ApiKey& key, const RequestKey& request) override;
  absl::StatusOr<ApiKey> GetKey(const std::string& project, const std::string& id) override;
  absl::StatusOr<Page<ApiKey>> ListKeys(const std::string& project,
                                        const PageQuery& query) override;
  absl::StatusOr<ApiKey> UpdateKey(const ApiKey& key) override;
  absl::StatusOr<ApiKey> FindKey(const std::string& secret_hash) override;
  absl::StatusOr<bool> AnyKeyOpens(absl::Time now) override;

 private:
  using DocumentKey = std::tuple<Kind, std::string, std::string, std::string>;
  using VersionKey = std::tuple<std::string, std::string, std::string>;
  struct Request {
    std::string payload;
    std::string resource;
  };

  absl::StatusOr<std::string> EarlierRequest(const std::string& project, const RequestKey& key);
  absl::Status CheckParents(const ResourceKey& key);
  absl::Status CheckUnused(const ResourceKey& key);
  PromptVersion* Find(const PromptKey& prompt, const std::string& digest);

  Clock& clock_;
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Request> requests_;
  std::map<DocumentKey, Resource> documents_;
  std::map<VersionKey, std::vector<PromptVersion>> versions_;
  std::map<VersionKey, std::vector<std::string>> activations_;  // oldest first
  std::map<std::pair<std::string, std::string>, ApiKey> keys_;
};

}  // namespace crossover::registry
