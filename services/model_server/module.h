// The model server as a module: a base model and its adapters behind inference.v1 and the OpenAI
// chat completions contract.
#pragma once

#include <grpcpp/channel.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/blob/blob_store.h"
#include "common/id/random.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/rpc/auth.h"
#include "common/rpc/module.h"
#include "common/time/clock.h"

namespace crossover::inference {

class BaseLoader;

struct Options {
  // host:port of the OpenAI HTTP; port 0 = any free one; "" = none.
  std::string http_address = "127.0.0.1:8081";
  std::string http_api_key;  // "" = none is asked for.
  // Bases loaded at the start: "name=sha256:…", "name=/path/to/model.gguf" or
  // "name=/path/to/folder" of Hugging Face (copied into the blob store once it is known to be
  // readable). Empty and with a scheduler: its newest base. Others are
  // loaded when a request names them.
  std::vector<std::string> models;
  std::string project = "projects/default";
  std::filesystem::path scratch;  // "" = a folder below the system's temporary one.
  int max_bases = 2;              // In memory at once; never fewer than `models` names.
  // Adapters in memory: so many, with so much together. Others come back by digest.
  int max_adapters = 1024;
  int64_t adapter_cache_mb = 1024;
  int max_batch_rows = 32;
  int64_t max_queue = 1024;
  int64_t kv_cache_mb = 1024;
  std::string decode_weights = "dense";  // Or int8 or int4 (llm::DecodeWeights).
  // Steps with fewer rows are filled up to this number with guessed tokens (EngineOptions).
  int64_t speculative_rows = 8;
  int threads = 0;                    // That compute; 0 = one per core.
  std::string compute_type = "auto";  // Or bf16 or fp32; auto: bf16 where the processor has it.
  int rpc_threads = 8;
  // A batch that makes no progress for so long fails the health check; 0 = never.
  absl::Duration stall_timeout = absl::Seconds(60);
  absl::Duration drain_timeout = absl::Seconds(10);
};

// All borrowed but the channel.
struct Deps {
  BlobStore& blobs;
  Clock& clock;
  RandomSource& random;
  metrics::Registry& registry;
  Logger& logger;
  std::shared_ptr<grpc::Channel>
      scheduler;  // ModelService; null: only models loaded by name or digest.
  rpc::Authenticator* authenticator = nullptr;  // nullptr: everyone is ADMIN.
};

class Module final : public rpc::Module {
 public:
  static absl::StatusOr<std::unique_ptr<Module>> Create(Options options, Deps deps);
  // With another engine, for tests. Borrows nothing of `loader`.
  static absl::StatusOr<std::unique_ptr<Module>> Create(Options options, Deps deps,
                                                        std::unique_ptr<BaseLoader> loader);
  ~Module() override;

  std::vector<grpc::Service*> Services() override;
  // Serves HTTP and loads the bases in the background: Ready() tells when they are there and have
  // answered, or why they never will. What may succeed later is tried again. Later, UNAVAILABLE
  // `ENGINE_STALLED` while a batch makes no progress.
  absl::Status Start() override;
  void Drain() override;
  absl::Status Ready() override;

  // Port of the OpenAI HTTP, after Start.
  int http_port() const;

 private:
  struct Impl;
  explicit Module(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::inference
