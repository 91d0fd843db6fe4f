// The Model registry in Postgres, schema `scheduler`.
#pragma once

#include <string>
#include <vector>

#include "common/pg/pool.h"
#include "services/training_scheduler/domain/model_store.h"

namespace crossover::scheduler {

// Thread-safe. Borrows the pool.
class PgModelStore final : public ModelStore {
 public:
  explicit PgModelStore(pg::Pool& pool) : pool_(pool) {}

  using ModelStore::Register;
  absl::StatusOr<ModelVersion> Register(const ModelVersion& version,
                                        const RequestKey& key) override;
  absl::StatusOr<std::optional<ModelVersion>> FindRegistered(const std::string& project,
                                                             const RequestKey& key) override;
  absl::StatusOr<Model> GetModel(const std::string& project, const std::string& model) override;
  absl::StatusOr<std::vector<Model>> ListModels(const std::string& project,
                                                const std::string& after, int64_t limit) override;
  absl::StatusOr<Model> UpdateModel(const Model& model) override;
  absl::StatusOr<ModelVersion> GetVersion(const std::string& project, const std::string& model,
                                          const std::string& digest_or_alias) override;
  absl::StatusOr<std::vector<ModelVersion>> ListVersions(const VersionQuery& query) override;
  absl::StatusOr<ModelVersion> SetAlias(const std::string& project, const std::string& model,
                                        const std::string& digest,
                                        const std::string& alias) override;
  absl::Status DeleteVersion(const std::string& project, const std::string& model,
                             const std::string& digest) override;

 private:
  pg::Pool& pool_;
};

}  // namespace crossover::scheduler
