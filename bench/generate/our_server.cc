#include "bench/generate/our_server.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/generate/load.h"
#include "common/blob/directory_blob_store.h"
#include "common/id/random.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/status/status_macros.h"
#include "common/time/clock.h"
#include "services/model_server/module.h"

namespace crossover::bench {

namespace {

class SilentLogger final : public Logger {
 public:
  void Write(LogLevel, std::string_view, const std::vector<LogField>&) override {}
};

}  // namespace

struct OurServer::Impl {
  std::unique_ptr<BlobStore> blobs;
  std::string digest;
  metrics::Registry registry{"model-server"};
  SilentLogger logger;
  std::unique_ptr<inference::Module> module;
};

OurServer::OurServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
OurServer::~OurServer() { impl_->module->Drain(); }

absl::StatusOr<std::unique_ptr<OurServer>> OurServer::Start(const OurServerOptions& options) {
  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(
      impl->blobs,
      NewDirectoryBlobStore({.root = options.folder / "blobs", .reserve_bytes = 0, .sync = false},
                            SystemClock()));
  ASSIGN_OR_RETURN(impl->digest, impl->blobs->PutFile(options.model));
  ASSIGN_OR_RETURN(impl->module,
                   inference::Module::Create({.http_address = "127.0.0.1:0",
                                              .models = {"model=" + impl->digest},
                                              .scratch = options.folder / "scratch",
                                              .max_adapters = options.max_adapters,
                                              .max_batch_rows = options.rows,
                                              .kv_cache_mb = options.kv_cache_mb,
                                              .decode_weights = options.decode_weights,
                                              .speculative_rows = options.speculative_rows,
                                              .threads = options.threads,
                                              .compute_type = options.compute,
                                              .drain_timeout = absl::Seconds(1)},
                                             {.blobs = *impl->blobs,
                                              .clock = SystemClock(),
                                              .random = SystemRandom(),
                                              .registry = impl->registry,
                                              .logger = impl->logger}));
  RETURN_IF_ERROR(impl->module->Start());
  for (int i = 0; i < 6000 && !impl->module->Ready().ok(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  RETURN_IF_ERROR(impl->module->Ready());
  return std::unique_ptr<OurServer>(new OurServer(std::move(impl)));
}

std::string OurServer::CompletionsUrl() const {
  return absl::StrCat("http://127.0.0.1:", impl_->module->http_port(), "/v1/completions");
}

const std::string& OurServer::base_digest() const { return impl_->digest; }

absl::StatusOr<std::string> OurServer::StoreAdapter(const std::filesystem::path& folder) {
  return impl_->blobs->PutFolder("adapter", folder);
}

absl::StatusOr<double> OurServer::Activate(const std::string& adapter) {
  const std::string body =
      absl::StrCat(R"({"model":")", adapter,
                   R"(","prompt":[100,200,300,400],"max_tokens":1,"temperature":0,"stream":true,)",
                   R"("stream_options":{"include_usage":true}})");
  ASSIGN_OR_RETURN(const LoadResult result, RunLoad(CompletionsUrl(), {body}));
  return result.first_token[0];
}

}  // namespace crossover::bench
