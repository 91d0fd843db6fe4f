// What the scheduler must know of sealed data set versions. The real one asks data_curation by RPC.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "services/training_scheduler/domain/job_spec.h"

namespace crossover::scheduler {

// Thread-safe.
class DatasetCatalog {
 public:
  virtual ~DatasetCatalog() = default;
  // `name` is projects/{p}/datasets/{d}/versions/{digest}. NOT_FOUND if there is none; UNAVAILABLE
  // if nobody can say now.
  virtual absl::StatusOr<DatasetFacts> Find(const std::string& name) = 0;
};

// For tests: what is in the map exists. `unavailable` stands for a curation service that does not
// answer.
class FakeDatasetCatalog final : public DatasetCatalog {
 public:
  absl::StatusOr<DatasetFacts> Find(const std::string& name) override {
    if (unavailable) return absl::UnavailableError("data_curation does not answer");
    const auto found = datasets.find(name);
    if (found == datasets.end()) return absl::NotFoundError("no data set version " + name);
    return found->second;
  }

  std::map<std::string, DatasetFacts> datasets;
  bool unavailable = false;
};

}  // namespace crossover::scheduler
