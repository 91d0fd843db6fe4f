// The Model registry in memory. `in_use` lists digests that unfinished jobs need: Postgres finds
// them by itself.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/job.h"
#include "services/training_scheduler/domain/model_store.h"

namespace crossover::scheduler {

class FakeModelStore final : public ModelStore {
 public:
  explicit FakeModelStore(Clock& clock) : clock_(clock) {}

  using ModelStore::Register;
  absl::StatusOr<ModelVersion> Register(const ModelVersion& version,
                                        const RequestKey& key) override;
  // As a job store does when a job has made something.
  absl::StatusOr<ModelVersion> RegisterMade(const ModelVersion& version, Job& job);
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

  std::set<std::string> in_use;

 private:
  // In order of creation; `model` "" or "-": of all.
  std::vector<ModelVersion*> Versions(const std::string& project, const std::string& model)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void TakeAlias(const std::string& project, const std::string& alias)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::optional<ModelKind> KindOf(const ModelVersion& version)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ModelVersion Add(const ModelVersion& version) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  struct Request {
    std::string payload_hash;
    std::string model;
    std::string digest;
  };

  Clock& clock_;
  absl::Mutex mutex_;
  std::map<std::pair<std::string, std::string>, Request> requests_ ABSL_GUARDED_BY(mutex_);
  int64_t last_ordinal_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::pair<std::string, std::string>, Model> models_ ABSL_GUARDED_BY(mutex_);
  std::vector<ModelVersion> versions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::scheduler
