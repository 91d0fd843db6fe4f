#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "common/config/config.h"
#include "common/rpc/deployment_keys.h"
#include "common/service/service_main.h"
#include "common/status/status_macros.h"
#include "llm/model/primitive_cache.h"
#include "services/trainer_worker/module.h"

int main(int argc, char** argv) {
  // libgomp reads this when it is loaded, before main: an OpenMP team that spins beside another
  // busy process is 7-11 times slower.
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) {
    setenv("OMP_WAIT_POLICY", "passive", 1);
    execv("/proc/self/exe", argv);
  }
  crossover::llm::BoundPrimitiveCaches(crossover::llm::kTrainingPrimitives);
  crossover::service::ServiceMain main("crossover-trainer-worker",
                                       "Runs training jobs for a scheduler.");
  main.options().grpc_address = "127.0.0.1:7080";
  main.options().metrics_address = "127.0.0.1:9465";
  crossover::worker::Options options;
  int niceness = 10;
  main.config().Add("scheduler", "address of the training scheduler: host:port or unix:/path",
                    &options.scheduler);
  main.config().Add("worker-name", "name of this worker, the same over restarts", &options.name);
  main.config().Add("incarnation", "name of this life; drawn when empty", &options.incarnation);
  main.config().Add("work-folder", "folder for running jobs, of this worker alone",
                    &options.work_folder);
  main.config().Add("threads", "threads that compute; 0 = one per core", &options.threads);
  main.config().Add(
      "compute-type",
      "auto: as jobs say, fp32 where the processor does not multiply bf16; or bf16 or "
      "fp32, whatever they say",
      &options.compute_type);
  main.config().Add("base-weights",
                    "how base models are kept in memory: dense; stored, as in the file; nf4; or "
                    "auto, dense where that takes half of the free memory at most",
                    &options.base_weights);
  main.config().Add("max-gang", "most workers that share one job with this one; 1: none does",
                    &options.max_gang);
  main.config().Add("gang-address", "host:port of this machine where such workers meet it",
                    &options.gang_address);
  main.config().Add("nice", "how much it yields to other processes, 0 to 19", &niceness);
  main.config().Add("engine", "llm; or fake, which counts steps instead of training, for tests",
                    &options.engine);
  main.config().AddSecret(
      "api-key",
      "key of role WORKER, to call the scheduler through the router; beside the "
      "scheduler the service key will do",
      &options.api_key);
  return main.Run(
      argc, argv,
      [&](crossover::service::Runtime& runtime)
          -> absl::StatusOr<std::unique_ptr<crossover::rpc::Module>> {
        if (nice(niceness) == -1)
          std::fprintf(stderr, "crossover-trainer-worker: nice has no effect\n");
        if (options.work_folder.empty()) {
          options.work_folder = crossover::config::DefaultDataFolder() / "worker" / options.name;
        }
        if (options.api_key.empty() && !runtime.options.service_key.empty()) {
          options.api_key = crossover::rpc::ServiceToken(
              runtime.options.service_key,
              {.name = "workers/" + options.name, .role = crossover::rpc::Role::kWorker});
        }
        ASSIGN_OR_RETURN(crossover::BlobStore * blobs, runtime.OpenBlobStore());
        return crossover::worker::Module::Create(options,
                                                 {.blobs = *blobs,
                                                  .clock = runtime.clock,
                                                  .random = runtime.random,
                                                  .registry = runtime.registry,
                                                  .logger = runtime.logger,
                                                  .on_drained = [] { kill(getpid(), SIGTERM); },
                                                  .authenticator = runtime.authenticator()});
      });
}
