#include "services/platform/modules.h"

#include <utility>

#include "common/status/status_macros.h"
#include "services/platform/base_model.h"
#include "services/training_scheduler/module.h"

namespace crossover::platform {
namespace {

using ModulePtr = std::unique_ptr<rpc::Module>;

absl::StatusOr<ModulePtr> NewScheduler(const ModuleDeps& deps) {
  scheduler::Options options;
  options.package_folders = {WheelsFolder()};
  return scheduler::Module::Create(std::move(options), {.pool = deps.pool("scheduler"),
                                                        .blobs = deps.blobs,
                                                        .clock = deps.clock,
                                                        .random = deps.random,
                                                        .registry = deps.registry,
                                                        .logger = deps.logger,
                                                        .curation = deps.self,
                                                        .authenticator = &deps.authenticator});
}

}  // namespace

std::vector<pg::SchemaMigrations> AllSchemas() { return {scheduler::Module::RequiredMigrations()}; }

absl::StatusOr<Modules> BuildModules(const ModuleDeps& deps) {
  Modules out;
  for (const auto& build : {&NewScheduler}) {
    ASSIGN_OR_RETURN(ModulePtr module, build(deps));
    out.all.push_back(std::move(module));
  }
  return out;
}

}  // namespace crossover::platform
