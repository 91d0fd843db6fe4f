// Models of our own that a client may call without a route: base models and what was trained.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crossover::router {

struct LocalModelInfo {
  std::string id;  // what a client calls it: a base's slug, ft:{base}:{project}:{suffix}:{id8}
  absl::Time create_time;
};

// Thread-safe; may block on the network. `project` is "projects/{p}".
class LocalModels {
 public:
  virtual ~LocalModels() = default;

  // What the model server calls the model: a slug, an alias or a digest. `…:ckpt-step-88` behind a
  // fine-tuned model's name is the checkpoint of that step. NOT_FOUND MODEL_NOT_FOUND.
  virtual absl::StatusOr<std::string> Find(const std::string& project,
                                           const std::string& model) = 0;
  virtual absl::StatusOr<std::vector<LocalModelInfo>> List(const std::string& project) = 0;
  // A fine-tuned model only.
  virtual absl::Status Delete(const std::string& project, const std::string& model) = 0;
};

}  // namespace crossover::router
