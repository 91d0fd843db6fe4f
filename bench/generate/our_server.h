// The model server as a module in this process, over HTTP like any other.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/blob/blob_store.h"

namespace crossover::bench {

struct OurServerOptions {
  std::string model;  // GGUF file
  int rows = 32;
  int max_adapters = 2000;
  int64_t kv_cache_mb = 1024;
  int threads = 0;
  std::string compute = "auto";
  std::string decode_weights = "dense";
  int64_t speculative_rows = 8;
  std::filesystem::path folder;  // For blobs; removed by the caller.
};

class OurServer {
 public:
  static absl::StatusOr<std::unique_ptr<OurServer>> Start(const OurServerOptions& options);
  ~OurServer();

  // "http://127.0.0.1:…/v1/completions"; the model's name is "model".
  std::string CompletionsUrl() const;
  const std::string& base_digest() const;
  // Stores a PEFT folder; its digest is a model name too.
  absl::StatusOr<std::string> StoreAdapter(const std::filesystem::path& folder);
  // Seconds until an adapter that is on disk has answered with one token.
  absl::StatusOr<double> Activate(const std::string& adapter);

 private:
  struct Impl;
  explicit OurServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::bench
