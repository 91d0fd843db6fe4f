#include "common/config/config.h"
#include "common/service/service_main.h"
#include "common/status/status_macros.h"
#include "services/data_curation/module.h"

int main(int argc, char** argv) {
  using crossover::curation::Module;
  crossover::service::ServiceMain main("crossover-data-curation",
                                       "Turns files into sealed data set versions.");
  crossover::curation::Options options;
  std::string scheduler;
  options.work_folder = crossover::config::DefaultDataFolder() / "curation";
  main.config().Add(
      "scheduler", "address of training_scheduler; empty = ListAdapters is not served", &scheduler);
  main.config().Add("work-folder", "folder of unfinished uploads and temporary files",
                    &options.work_folder);
  main.config().Add("max-file-bytes", "largest file that may be uploaded", &options.max_file_bytes);
  main.config().Add("run-threads", "curation runs at a time", &options.run_threads);
  return main.Run(argc, argv,
                  [&](crossover::service::Runtime& runtime)
                      -> absl::StatusOr<std::unique_ptr<crossover::rpc::Module>> {
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
                         .scheduler = scheduler.empty() ? nullptr : runtime.Connect(scheduler),
                         .authenticator = runtime.authenticator()});
                  });
}
