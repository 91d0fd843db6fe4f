// What the router reads from evaluation: which systems a run or a comparison measured.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::router {

// Thread-safe; may block on the network. NOT_FOUND if there is no such evaluation;
// FAILED_PRECONDITION if it has not ended well, and so measured nothing that could be relied on.
class Evaluations {
 public:
  virtual ~Evaluations() = default;
  // SystemDigests. `name`: projects/*/runs/* or projects/*/comparisons/*.
  virtual absl::StatusOr<std::vector<std::string>> SystemsOf(const std::string& name) = 0;
};

// For tests. Filled before it is read by several threads.
class FakeEvaluations final : public Evaluations {
 public:
  std::map<std::string, std::vector<std::string>> systems;

  absl::StatusOr<std::vector<std::string>> SystemsOf(const std::string& name) override {
    const auto it = systems.find(name);
    if (it == systems.end()) return absl::NotFoundError(name + " was not found");
    return it->second;
  }
};

}  // namespace crossover::router
