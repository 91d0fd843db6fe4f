// RegistryStore over Postgres, schema `registry`.
#pragma once

#include <string>
#include <vector>

#include "common/pg/migration.h"
#include "common/pg/pool.h"
#include "services/registry/domain/registry_store.h"

namespace crossover::registry {

// Thread-safe. Borrows the pool, whose search_path is `registry`.
class PgRegistryStore final : public RegistryStore {
 public:
  explicit PgRegistryStore(pg::Pool& pool) : pool_(pool) {}

  static pg::SchemaMigrations RequiredMigrations();

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
  pg::Pool& pool_;
};

}  // namespace crossover::registry
