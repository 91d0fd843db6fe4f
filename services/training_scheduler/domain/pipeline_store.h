// Where pipelines live. Implementations: PgPipelineStore, FakePipelineStore; both pass
// PipelineStoreConformance.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/training_scheduler/domain/pipeline.h"
#include "services/training_scheduler/domain/request_key.h"

namespace crossover::scheduler {

struct PipelineQuery {
  std::string project;
  std::optional<PipelineState> state;
  std::map<std::string, std::string> labels;
  std::string before;  // the last id of the page before; empty = from the newest
  int64_t limit = 50;
};

// Thread-safe. NOT_FOUND RESOURCE_NOT_FOUND for what does not exist (or is of another project).
class PipelineStore {
 public:
  // Runs on the pipeline under its lock. False: nothing has changed, nothing is written. May run
  // more than once.
  using Mutation = std::function<absl::StatusOr<bool>(Pipeline& pipeline)>;

  virtual ~PipelineStore() = default;

  // Once per key: a repeat gives the stored pipeline, another payload is REQUEST_ID_REUSED.
  virtual absl::StatusOr<Pipeline> Insert(const Pipeline& pipeline, const RequestKey& key) = 0;
  virtual absl::StatusOr<Pipeline> Get(const std::string& project, const std::string& id) = 0;
  // Newest first.
  virtual absl::StatusOr<std::vector<Pipeline>> List(const PipelineQuery& query) = 0;
  // Afterwards the pipeline is due at once, if DueStep says that something is to do.
  virtual absl::StatusOr<Pipeline> Update(const std::string& project, const std::string& id,
                                          const Mutation& mutation) = 0;

  // The pipeline that has been due longest; not due again for `pause`, unless it changes. Two
  // callers do not get the same one at once. nullopt: none is due.
  virtual absl::StatusOr<std::optional<Pipeline>> Claim(absl::Duration pause) = 0;

  // Removes up to `limit` pipelines that ended `age` ago or earlier and of which nothing is left to
  // do, with their steps. What the steps created stays. Returns how many.
  virtual absl::StatusOr<int64_t> RemoveEnded(absl::Duration age, int64_t limit) = 0;
};

}  // namespace crossover::scheduler
