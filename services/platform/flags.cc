#include "services/platform/flags.h"

namespace crossover::platform {
namespace {

void DeclareChildSettings(config::Config& config, ChildSettings& settings) {
  config.Add("compute-type",
             "of model server and trainer workers: auto, bf16 or fp32 (empty = their own choice)",
             &settings.compute_type);
  config.Add(
      "base-weights",
      "of trainer workers, how bases are kept in memory: auto, dense, stored or nf4 (empty = "
      "their own choice)",
      &settings.base_weights);
  config.Add("max-gang",
             "of trainer workers, most that share one job; needs as many --trainer-workers (0 = "
             "each trains alone)",
             &settings.max_gang);
  config.Add("decode-weights",
             "of the model server, for small batches: dense, int8 or int4 (empty = its own choice)",
             &settings.decode_weights);
  config.Add("kv-cache-mb",
             "of the model server, memory for keys and values, MiB (0 = its own choice)",
             &settings.kv_cache_mb);
  config.Add("max-bases", "of the model server, bases kept in memory (0 = its own choice)",
             &settings.max_bases);
  config.Add("max-queue", "of the model server, requests that may wait (0 = its own choice)",
             &settings.max_queue);
}

}  // namespace

void DeclareFlags(config::Config& config, Options& options) {
  config.Add("data", "data folder", &options.data);
  config.Add("http-address", "host:port of the data plane (OpenAI HTTP)", &options.http_address);
  config.Add("admin-address", "host:port of /healthz and /readyz", &options.admin_address);
  config.Add("grpc-address", "host:port of the gRPC API", &options.grpc_address);
  config.Add("metrics-address", "host:port of /metrics", &options.metrics_address);
  config.Add("base-model",
             "GGUF file or folder that becomes the base on the first start, by its own name: "
             "Small.Q4_1.gguf is small-q4-1 (default: the one of ./dev setup)",
             &options.base_model);
  config.Add("import-base-model", "import a base model on the first start",
             &options.import_base_model);
  config.Add("run-model-server", "run a model server", &options.model_server);
  config.Add("trainer-workers", "trainer workers to run", &options.trainer_workers);
  config.Add("trainer-threads", "threads of each trainer worker (0 = its own choice)",
             &options.trainer_threads);
  config.Add("model-server-threads", "threads of the model server (0 = its own choice)",
             &options.model_server_threads);
  DeclareChildSettings(config, options.child_settings);
  config.Add("program-folder", "folder of the children's programs (default: beside this one)",
             &options.program_folder);
  config.Add("postgres-folder", "folder of the PostgreSQL programs", &options.postgres.binaries);
  config.Add("log-level", "debug, info, warning or error", &options.log_level);
  config.Add("reflection", "describe the gRPC services to clients such as grpcurl",
             &options.reflection);
  config.Add("drain-timeout", "how long calls in progress may take when stopping",
             &options.drain_timeout);
}

}  // namespace crossover::platform
