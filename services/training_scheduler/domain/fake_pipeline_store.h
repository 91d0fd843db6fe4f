// Pipelines in memory, with the same promises as Postgres.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/pipeline_store.h"

namespace crossover::scheduler {

// Thread-safe. `clock` plays the database's clock, and is borrowed.
class FakePipelineStore final : public PipelineStore {
 public:
  explicit FakePipelineStore(Clock& clock) : clock_(clock) {}

  absl::StatusOr<Pipeline> Insert(const Pipeline& pipeline, const RequestKey& key) override;
  absl::StatusOr<Pipeline> Get(const std::string& project, const std::string& id) override;
  absl::StatusOr<std::vector<Pipeline>> List(const PipelineQuery& query) override;
  absl::StatusOr<Pipeline> Update(const std::string& project, const std::string& id,
                                  const Mutation& mutation) override;
  absl::StatusOr<std::optional<Pipeline>> Claim(absl::Duration pause) override;
  absl::StatusOr<int64_t> RemoveEnded(absl::Duration age, int64_t limit) override;

 private:
  struct Record {
    Pipeline pipeline;
    std::optional<absl::Time> due_time;
  };

  absl::StatusOr<Record*> Find(const std::string& project, const std::string& id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  absl::Mutex mutex_;
  std::map<std::string, Record> records_ ABSL_GUARDED_BY(mutex_);  // by id
  // (project, request_id) → (payload hash, pipeline).
  std::map<std::pair<std::string, std::string>, std::pair<std::string, std::string>> requests_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::scheduler
