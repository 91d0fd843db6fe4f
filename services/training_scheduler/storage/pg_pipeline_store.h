// Pipelines in Postgres, schema `scheduler`.
#pragma once

#include <string>
#include <vector>

#include "common/pg/pool.h"
#include "services/training_scheduler/domain/pipeline_store.h"

namespace crossover::scheduler {

// Thread-safe. Borrows the pool.
class PgPipelineStore final : public PipelineStore {
 public:
  explicit PgPipelineStore(pg::Pool& pool) : pool_(pool) {}

  absl::StatusOr<Pipeline> Insert(const Pipeline& pipeline, const RequestKey& key) override;
  absl::StatusOr<Pipeline> Get(const std::string& project, const std::string& id) override;
  absl::StatusOr<std::vector<Pipeline>> List(const PipelineQuery& query) override;
  absl::StatusOr<Pipeline> Update(const std::string& project, const std::string& id,
                                  const Mutation& mutation) override;
  absl::StatusOr<std::optional<Pipeline>> Claim(absl::Duration pause) override;
  absl::StatusOr<int64_t> RemoveEnded(absl::Duration age, int64_t limit) override;

 private:
  pg::Pool& pool_;
};

}  // namespace crossover::scheduler
