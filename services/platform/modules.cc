#include "services/platform/modules.h"

namespace crossover::platform {

std::vector<pg::SchemaMigrations> AllSchemas() { return {}; }

absl::StatusOr<std::vector<std::unique_ptr<rpc::Module>>> BuildModules(const ModuleDeps&) {
  std::vector<std::unique_ptr<rpc::Module>> out;
  return out;
}

}  // namespace crossover::platform
