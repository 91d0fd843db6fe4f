// Where the Model registry lives. Implementations: PgModelStore, FakeModelStore; both pass
// ModelStoreConformance.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/training_scheduler/domain/model.h"
#include "services/training_scheduler/domain/request_key.h"

namespace crossover::scheduler {

// Empty fields match everything.
struct VersionQuery {
  std::string project;
  std::string model;
  std::optional<ModelKind> kind;
  std::string alias;
  std::string digest;
  std::string base_digest;
  std::string source_job;
  std::string dataset_version;  // "which adapters saw this data"
  std::string task;
  int64_t before = 0;  // ordinal of the last one of the page before; 0 = from the newest
  int64_t limit = 50;
};

// Thread-safe. NOT_FOUND RESOURCE_NOT_FOUND names what is missing.
class ModelStore {
 public:
  virtual ~ModelStore() = default;

  // Adds a version, and its model if it is the first. The version's alias is taken from whoever had
  // it. A version of this model and digest that exists is returned as it is, but for one that has
  // no alias: it gets this one. A key that was used for another payload is REQUEST_ID_REUSED, a
  // model of another kind FAILED_PRECONDITION RESOURCE_IN_USE, and nothing is stored.
  virtual absl::StatusOr<ModelVersion> Register(const ModelVersion& version,
                                                const RequestKey& key) = 0;
  absl::StatusOr<ModelVersion> Register(const ModelVersion& version) {
    return Register(version, {});
  }
  // What was registered under this key; nullopt if nothing was, REQUEST_ID_REUSED if the payload
  // was another one, NOT_FOUND if it has been deleted since.
  virtual absl::StatusOr<std::optional<ModelVersion>> FindRegistered(const std::string& project,
                                                                     const RequestKey& key) = 0;

  virtual absl::StatusOr<Model> GetModel(const std::string& project, const std::string& model) = 0;
  // Ascending by slug, those after `after`.
  virtual absl::StatusOr<std::vector<Model>> ListModels(const std::string& project,
                                                        const std::string& after,
                                                        int64_t limit) = 0;
  // Stores display_name and labels.
  virtual absl::StatusOr<Model> UpdateModel(const Model& model) = 0;

  // By digest or alias; `model` "" or "-": whichever model it is a version of (the newest).
  virtual absl::StatusOr<ModelVersion> GetVersion(const std::string& project,
                                                  const std::string& model,
                                                  const std::string& digest_or_alias) = 0;
  // Newest first.
  virtual absl::StatusOr<std::vector<ModelVersion>> ListVersions(const VersionQuery& query) = 0;

  // Gives the version this alias; whoever had it loses it. An empty alias takes the version's away.
  virtual absl::StatusOr<ModelVersion> SetAlias(const std::string& project,
                                                const std::string& model, const std::string& digest,
                                                const std::string& alias) = 0;

  // FAILED_PRECONDITION RESOURCE_IN_USE while an unfinished job uses it or, for a base, an adapter
  // rests on it. A model whose last version goes, goes too.
  virtual absl::Status DeleteVersion(const std::string& project, const std::string& model,
                                     const std::string& digest) = 0;
};

}  // namespace crossover::scheduler
