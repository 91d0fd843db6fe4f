#include "services/platform/modules.h"

#include <utility>

#include "common/status/status_macros.h"
#include "services/platform/base_model.h"
#include "services/training_scheduler/module.h"

namespace crossover::platform {
namespace {

using Modules = std::vector<std::unique_ptr<rpc::Module>>;

absl::Status AddScheduler(const ModuleDeps& deps, Modules& out) {
  scheduler::Options options;
  options.package_folders = {WheelsFolder()};
  ASSIGN_OR_RETURN(auto module, scheduler::Module::Create(options, {.pool = deps.pool("scheduler"),
                                                                    .blobs = deps.blobs,
                                                                    .clock = deps.clock,
                                                                    .random = deps.random,
                                                                    .registry = deps.registry,
                                                                    .logger = deps.logger,
                                                                    .curation = deps.self,
                                                                    .authenticator = &deps.authenticator}));
  out.push_back(std::move(module));
  return absl::OkStatus();
}

}  // namespace

std::vector<pg::SchemaMigrations> AllSchemas() { return {scheduler::Module::RequiredMigrations()}; }

absl::StatusOr<Modules> BuildModules(const ModuleDeps& deps) {
  Modules out;
  RETURN_IF_ERROR(AddScheduler(deps, out));
  return out;
}

}  // namespace crossover::platform
