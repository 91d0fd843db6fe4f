// Base and fine-tuned models as the scheduler's registry has them.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "services/shadow_router/domain/local_models.h"
#include "services/shadow_router/tuning/backend.h"

namespace crossover::router {

// Thread-safe. Borrows the backend. What was found is remembered for ten seconds, and for as long
// as the scheduler cannot be reached.
class SchedulerModels final : public LocalModels {
 public:
  explicit SchedulerModels(TuningBackend& backend) : backend_(backend) {}

  absl::StatusOr<std::string> Find(const std::string& project, const std::string& model) override;
  absl::StatusOr<std::vector<LocalModelInfo>> List(const std::string& project) override;
  absl::Status Delete(const std::string& project, const std::string& model) override;

 private:
  struct Known {
    std::string target;
    absl::Duration fresh_until;
  };

  absl::StatusOr<std::string> Ask(const std::string& project, const std::string& model);
  absl::StatusOr<std::string> AskCheckpoint(const std::string& project, const std::string& model,
                                            size_t step_at);

  TuningBackend& backend_;
  absl::Mutex mutex_;
  std::map<std::pair<std::string, std::string>, Known> known_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::router
