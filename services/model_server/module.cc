#include "services/model_server/module.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/http/server.h"
#include "common/id/uuid7.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/hf_listing.h"
#include "services/model_server/domain/inference.h"
#include "services/model_server/transport/grpc_service.h"
#include "services/model_server/transport/metrics.h"
#include "services/model_server/transport/openai_http.h"
#include "services/model_server/transport/scheduler_directory.h"

namespace crossover::inference {
namespace {

struct Address {
  std::string host;
  int port = 0;
};

absl::StatusOr<Address> ParseAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  Address out;
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &out.port)) {
    return Error(
        absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
        absl::StrCat("http-address is '", text, "'; expected host:port, such as 127.0.0.1:8081"));
  }
  out.host = text.substr(0, colon);
  return out;
}

std::filesystem::path ScratchOf(const Options& options) {
  if (!options.scratch.empty()) return options.scratch;
  return std::filesystem::temp_directory_path() /
         absl::StrCat("crossover-model-server-", ::getpid());
}

// Of the pools of threads that requests begin on (OpenAiOptions, rpc::HandlerOptions), each keeps
// one for what is in memory.
int MaxWaiting(const Options& options) {
  const int smallest = std::min(
      {OpenAiOptions().threads, options.rpc_threads, rpc::HandlerOptions().stream_threads});
  return std::max(1, smallest - 1);
}

constexpr absl::Duration kFirstRetry = absl::Seconds(1);
constexpr absl::Duration kLongestRetry = absl::Seconds(10);
// Stands for the scheduler's newest base among the first models.
constexpr char kNewest[] = "newest base";
constexpr absl::Duration kRefresh = absl::Seconds(1);
constexpr absl::Duration kProbeInterval = absl::Milliseconds(20);

// Trying again would end the same way.
bool IsPermanent(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInvalidArgument ||
         status.code() == absl::StatusCode::kNotFound ||
         status.code() == absl::StatusCode::kUnimplemented ||
         status.code() == absl::StatusCode::kDataLoss;
}

}  // namespace

// Order of members: the HTTP server outlives the engines, whose last callbacks are posted to it;
// observer and clock outlive the models; the services and routes go first.
struct Module::Impl {
  Impl(Options o, Deps d, std::unique_ptr<BaseLoader> l)
      : options(std::move(o)),
        deps(d),
        loader(std::move(l)),
        directory(deps.scheduler == nullptr
                      ? nullptr
                      : NewSchedulerDirectory(deps.scheduler, options.project)),
        metrics(deps.registry),
        ids(deps.clock, deps.random) {}

  ~Impl() { Drain(); }

  absl::Status StartHttp() {
    if (options.http_address.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const Address address, ParseAddress(options.http_address));
    http = std::make_unique<http::Server>(
        http::ServerOptions{.address = address.host, .port = address.port}, deps.logger);
    openai = std::make_unique<OpenAiHttp>(OpenAiOptions{.api_key = options.http_api_key},
                                          *inference, ids, deps.clock, *http);
    http::AddHealthRoutes(*http, [this] { return Ready(); }, [this] { return Progress(); });
    http::AddMetricsRoute(*http, [this] {
      metrics.Refresh(*models);
      return deps.registry.Expose();
    });
    return http->Start();
  }

  // The same digest as the scheduler's for the same file or folder.
  absl::StatusOr<std::string> Put(const std::filesystem::path& path) {
    std::error_code ignored;  // what cannot be looked at cannot be opened either
    if (!std::filesystem::is_directory(path, ignored)) return deps.blobs.PutFile(path);
    ASSIGN_OR_RETURN(const std::vector<std::string> files, llm::HfModelFiles(path));
    return deps.blobs.PutFiles("model", path, files);
  }

  // "name=digest" or "name=path".
  absl::Status LoadNamed(const std::string& model) {
    const size_t equals = model.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error(
          absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
          absl::StrCat(
              "models holds '", model,
              "'; expected name=sha256:…, name=/path/to/model.gguf or name=/path/to/folder"));
    }
    std::string digest = model.substr(equals + 1);
    if (!IsDigest(digest)) {
      RETURN_IF_ERROR(loader->Inspect(digest));
      ASSIGN_OR_RETURN(digest, Put(digest));
    }
    RETURN_IF_ERROR(models->LoadBase(digest, {model.substr(0, equals)}).status());
    return Probe(digest);
  }

  // Whether the model answers: computes one token with it.
  absl::Status Probe(const std::string& digest) {
    struct Outcome {
      std::mutex mutex;
      std::optional<absl::Status> status;
    };
    ASSIGN_OR_RETURN(const ModelLease lease, models->Acquire(digest));
    const auto outcome = std::make_shared<Outcome>();
    ASSIGN_OR_RETURN(const RequestId id,
                     lease.engine().Score({.prompt = {0}, .continuations = {{0}}},
                                          [outcome](const absl::StatusOr<llm::ScoreResult>& score) {
                                            std::lock_guard lock(outcome->mutex);
                                            outcome->status = score.status();
                                          }));
    for (;;) {
      {
        std::lock_guard lock(outcome->mutex);
        if (outcome->status) return *outcome->status;
      }
      if (WaitUnlessStopping(kProbeInterval)) lease.engine().Cancel(id);
    }
  }

  absl::Status LoadNewest() {
    ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> bases, directory->Bases());
    if (bases.empty()) return absl::OkStatus();  // The first request that names one loads it.
    RETURN_IF_ERROR(models->LoadBase(bases.front().digest, bases.front().aliases).status());
    return Probe(bases.front().digest);
  }

  // Loads the first models. Ready() then says OK, or what is wrong with a model that can never be
  // loaded; meanwhile, what the last attempt lacked.
  void LoadFirstModels() {
    const absl::Duration started = deps.clock.SteadyNow();
    std::vector<std::string> left = options.models;
    if (left.empty() && directory != nullptr) left.push_back(kNewest);
    absl::Status permanent, passing;
    for (absl::Duration retry = kFirstRetry;; retry = std::min(2 * retry, kLongestRetry)) {
      passing = absl::OkStatus();
      std::erase_if(left, [&](const std::string& model) {
        const absl::Status loaded = model == kNewest ? LoadNewest() : LoadNamed(model);
        if (loaded.ok()) return true;
        const bool give_up = IsPermanent(loaded);
        deps.logger.Error("model_not_loaded",
                          {{"model", model}, {"error", loaded}, {"will_retry", !give_up}});
        (give_up ? permanent : passing) = loaded;
        return give_up;
      });
      SetReadiness(left.empty() ? permanent : passing);
      if (left.empty() || WaitUnlessStopping(retry)) break;
    }
    if (left.empty() && permanent.ok())
      deps.logger.Info("models_loaded", {{"seconds", deps.clock.SteadyNow() - started}});
  }

  void SetReadiness(const absl::Status& status) {
    std::lock_guard lock(mutex);
    readiness = status;
  }

  // Loads the first models, then keeps the gauges fresh.
  void Background() {
    LoadFirstModels();
    while (!WaitUnlessStopping(kRefresh)) metrics.Refresh(*models);
  }

  // True when the module stops.
  bool WaitUnlessStopping(absl::Duration duration) {
    std::unique_lock lock(mutex);
    return wake.wait_for(lock, absl::ToChronoNanoseconds(duration), [this] { return stopping; });
  }

  absl::Status Ready() {
    {
      std::lock_guard lock(mutex);
      if (stopping)
        return Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING",
                     "the model server is stopping");
      RETURN_IF_ERROR(readiness);
    }
    return Progress();
  }

  // The watchdog: whether every batch moves.
  absl::Status Progress() {
    const absl::Duration stalled = absl::Seconds(models->Stats().stalled_seconds);
    if (options.stall_timeout <= absl::ZeroDuration() || stalled < options.stall_timeout)
      return absl::OkStatus();
    return Error(absl::StatusCode::kUnavailable, "ENGINE_STALLED",
                 absl::StrCat("a batch has made no progress for ", absl::ToInt64Seconds(stalled),
                              " s; restart the model server"));
  }

  void Drain() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
      wake.notify_all();
    }
    if (background.joinable()) background.join();
    if (openai != nullptr) openai->Drain(options.drain_timeout);
    if (http != nullptr) http->Stop(absl::Seconds(1));
  }

  const Options options;
  const Deps deps;
  std::unique_ptr<BaseLoader> loader;
  std::unique_ptr<ModelDirectory> directory;
  InferenceMetrics metrics;
  UuidGenerator ids;
  std::unique_ptr<http::Server> http;
  std::unique_ptr<LoadedModels> models;
  std::unique_ptr<Inference> inference;
  std::unique_ptr<OpenAiHttp> openai;
  std::unique_ptr<InferenceGrpcService> service;

  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  absl::Status readiness = Error(absl::StatusCode::kUnavailable, "SERVICE_UNAVAILABLE",
                                 "the base model is being loaded");
  std::thread background;
};

absl::StatusOr<std::unique_ptr<Module>> Module::Create(Options options, Deps deps,
                                                       std::unique_ptr<BaseLoader> loader) {
  auto impl = std::make_unique<Impl>(std::move(options), deps, std::move(loader));
  impl->models = std::make_unique<LoadedModels>(
      LoadedModelsOptions{.max_bases = std::max(impl->options.max_bases,
                                                static_cast<int>(impl->options.models.size())),
                          .max_adapters = impl->options.max_adapters,
                          .adapter_bytes = impl->options.adapter_cache_mb << 20,
                          .scratch = ScratchOf(impl->options),
                          .max_waiting = MaxWaiting(impl->options)},
      *impl->loader, deps.blobs, impl->directory.get(), deps.clock);
  impl->inference =
      std::make_unique<Inference>(*impl->models, deps.clock, deps.random, impl->metrics);
  impl->service = std::make_unique<InferenceGrpcService>(
      *impl->inference,
      rpc::HandlerOptions{.service = "crossover.inference.v1.InferenceService",
                          .threads = impl->options.rpc_threads,
                          .authenticator = deps.authenticator},
      impl->options.project, deps.clock, deps.logger, deps.registry);
  return std::unique_ptr<Module>(new Module(std::move(impl)));
}

Module::Module(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Module::~Module() = default;

std::vector<grpc::Service*> Module::Services() { return {impl_->service.get()}; }

absl::Status Module::Start() {
  RETURN_IF_ERROR(impl_->StartHttp());
  impl_->background = std::thread([impl = impl_.get()] { impl->Background(); });
  return absl::OkStatus();
}

void Module::Drain() { impl_->Drain(); }
absl::Status Module::Ready() { return impl_->Ready(); }
int Module::http_port() const { return impl_->http == nullptr ? 0 : impl_->http->port(); }

}  // namespace crossover::inference
