#include "common/service/service_main.h"
#include "common/status/status_macros.h"
#include "services/evaluation/module.h"

int main(int argc, char** argv) {
  using crossover::evaluation::Module;
  crossover::service::ServiceMain main(
      "crossover-evaluation",
      "Measures prompts and models on frozen rows, and decides between them.");
  crossover::evaluation::Options options;
  std::string registry = "127.0.0.1:7070", curation = "127.0.0.1:7071",
              inference = "127.0.0.1:7073";
  main.config().Add("registry", "address of the registry (shadow_router's gRPC port)", &registry);
  main.config().Add("curation", "address of data_curation", &curation);
  main.config().Add("inference", "address of model_server's gRPC port", &inference);
  main.config().Add("runners", "runs that ask at the same time", &options.runners);
  main.config().Add("answer-timeout", "longest wait for one answer", &options.answer_timeout);
  main.config().Add("scratch-dir", "folder for data sets while they are read", &options.scratch);
  return main.Run(argc, argv,
                  [&](crossover::service::Runtime& runtime)
                      -> absl::StatusOr<std::unique_ptr<crossover::rpc::Module>> {
                    ASSIGN_OR_RETURN(crossover::pg::Pool * pool,
                                     runtime.OpenPool(Module::RequiredMigrations()));
                    ASSIGN_OR_RETURN(crossover::BlobStore * blobs, runtime.OpenBlobStore());
                    return Module::Create(options, {.pool = *pool,
                                                    .blobs = *blobs,
                                                    .clock = runtime.clock,
                                                    .random = runtime.random,
                                                    .registry = runtime.registry,
                                                    .logger = runtime.logger,
                                                    .prompts = runtime.Connect(registry),
                                                    .curation = runtime.Connect(curation),
                                                    .inference = runtime.Connect(inference),
                                                    .authenticator = runtime.authenticator()});
                  });
}
