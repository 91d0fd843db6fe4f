#include "common/service/service_main.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/module.h"

int main(int argc, char** argv) {
  using crossover::scheduler::Module;
  crossover::service::ServiceMain main("crossover-training-scheduler",
                                       "The queue of training jobs.");
  crossover::scheduler::Options options;
  std::string curation = "127.0.0.1:7071";
  std::string evaluation;
  std::vector<std::string> package_folders;
  main.config().Add("curation", "address of data_curation", &curation);
  main.config().Add("evaluation",
                    "address of evaluation, for such steps of pipelines; may be empty",
                    &evaluation);
  main.config().Add("lease-ttl", "how long a worker's lease lasts without a beat",
                    &options.lease_ttl);
  main.config().Add("heartbeat-interval", "how often workers beat", &options.heartbeat_interval);
  main.config().Add(
      "job-retention",
      "how long jobs that have ended are kept, with their events and metrics, and webhook "
      "deliveries and pipelines; 0 = for ever",
      &options.job_retention);
  main.config().Add("project-quotas",
                    "PROJECT=N: most workers that a project's jobs may have at a time; PROJECT= "
                    "takes its quota away. Kept in the database",
                    &options.project_quotas);
  main.config().Add("device-hour-price",
                    "what an hour of a worker costs, in USD: jobs then say what they should cost "
                    "and did; 0 = not known",
                    &options.device_hour_usd);
  main.config().Add("package-folders", "where installed packages with models lie",
                    &package_folders);
  main.config().Add("private-webhooks",
                    "whether webhooks may be posted to this machine and to private networks",
                    &options.private_webhooks);
  return main.Run(argc, argv,
                  [&](crossover::service::Runtime& runtime)
                      -> absl::StatusOr<std::unique_ptr<crossover::rpc::Module>> {
                    options.package_folders.assign(package_folders.begin(), package_folders.end());
                    ASSIGN_OR_RETURN(crossover::pg::Pool * pool,
                                     runtime.OpenPool(Module::RequiredMigrations()));
                    ASSIGN_OR_RETURN(crossover::BlobStore * blobs, runtime.OpenBlobStore());
                    return Module::Create(
                        options,
                        {.pool = *pool,
                         .blobs = *blobs,
                         .clock = runtime.clock,
                         .random = runtime.random,
                         .registry = runtime.registry,
                         .logger = runtime.logger,
                         .curation = runtime.Connect(curation),
                         .evaluation = evaluation.empty() ? nullptr : runtime.Connect(evaluation),
                         .authenticator = runtime.authenticator()});
                  });
}
