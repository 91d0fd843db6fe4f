#include <string>

#include "common/service/service_main.h"
#include "common/status/status_macros.h"
#include "llm/model/primitive_cache.h"
#include "services/model_server/module.h"

int main(int argc, char** argv) {
  using crossover::inference::Module;
  crossover::llm::BoundPrimitiveCaches(crossover::llm::kServingPrimitives);
  crossover::service::ServiceMain main(
      "crossover-model-server", "Answers with a base model and any number of LoRA adapters.");
  crossover::inference::Options options;
  std::string scheduler;
  main.config().Add("http-address", "host:port of the OpenAI HTTP; empty = none",
                    &options.http_address);
  main.config().AddSecret("http-api-key",
                          "key that HTTP clients must send; default: the service key",
                          &options.http_api_key);
  main.config().Add("scheduler",
                    "address of the training scheduler, which knows the models; empty = none",
                    &scheduler);
  main.config().Add(
      "models", "bases to load: name=sha256:…, or name=/path of a GGUF file or Hugging Face folder",
      &options.models);
  main.config().Add("project", "project whose models are served", &options.project);
  main.config().Add("scratch", "folder for adapters while they are read", &options.scratch);
  main.config().Add("max-bases", "base models kept in memory; the one unused for longest leaves",
                    &options.max_bases);
  main.config().Add("max-adapters", "adapters kept in memory; those unused for longest leave",
                    &options.max_adapters);
  main.config().Add("adapter-cache-mb", "what they take together, MiB; 0 = any",
                    &options.adapter_cache_mb);
  main.config().Add("max-batch-rows", "answers computed together", &options.max_batch_rows);
  main.config().Add("max-queue", "requests that may wait; one more is refused", &options.max_queue);
  main.config().Add("decode-weights",
                    "dense, or int8 or int4: less to read for each token, less exact",
                    &options.decode_weights);
  main.config().Add("speculative-rows",
                    "steps with fewer rows also compute guesses of the tokens after next; 0 = none",
                    &options.speculative_rows);
  main.config().Add("kv-cache-mb", "memory for keys and values, MiB", &options.kv_cache_mb);
  main.config().Add("stall-timeout",
                    "a batch that makes no progress for so long fails the health check; 0 = never",
                    &options.stall_timeout);
  main.config().Add("threads", "threads that compute; 0 = one per core", &options.threads);
  main.config().Add("compute-type", "auto (bf16 where the processor multiplies it), bf16 or fp32",
                    &options.compute_type);
  return main.Run(argc, argv,
                  [&](crossover::service::Runtime& runtime)
                      -> absl::StatusOr<std::unique_ptr<crossover::rpc::Module>> {
                    options.drain_timeout = runtime.options.drain_timeout;
                    if (options.http_api_key.empty())
                      options.http_api_key = runtime.options.service_key;
                    RETURN_IF_ERROR(runtime.CheckExposure("http-address", options.http_address,
                                                          !options.http_api_key.empty()));
                    ASSIGN_OR_RETURN(crossover::BlobStore * blobs, runtime.OpenBlobStore());
                    return Module::Create(
                        options,
                        {.blobs = *blobs,
                         .clock = runtime.clock,
                         .random = runtime.random,
                         .registry = runtime.registry,
                         .logger = runtime.logger,
                         .scheduler = scheduler.empty() ? nullptr : runtime.Connect(scheduler),
                         .authenticator = runtime.authenticator()});
                  });
}
