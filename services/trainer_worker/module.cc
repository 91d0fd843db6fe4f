#include "services/trainer_worker/module.h"

#include <cmath>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/model/execution.h"
#include "services/trainer_worker/domain/fake_train_engine.h"
#include "services/trainer_worker/domain/gang_address.h"
#include "services/trainer_worker/domain/worker.h"
#include "services/trainer_worker/engine/llm_train_engine.h"
#include "services/trainer_worker/transport/grpc_lease_client.h"
#include "services/trainer_worker/transport/worker_service.h"

namespace crossover::worker {
namespace {

constexpr char kVersion[] = "0.1.0";

// No GPU: the engine does not train on one.
TrainDevice DeviceOf(const Options& options) {
  return {.kind = "cpu",
          .units = options.threads > 0 ? options.threads
                                       : static_cast<int>(std::thread::hardware_concurrency()),
          .memory_limit_bytes = MemoryLimit()};
}

// For tests of crashes: 40 steps (or max_steps) of 50 ms. With validation rows its loss falls to a
// value that depends on the learning rate.
std::unique_ptr<TrainEngine> NewFakeEngine(Clock& clock, bool validates) {
  auto engine = std::make_unique<FakeTrainEngine>();
  engine->script.steps = 40;
  engine->script.before_step = [&clock](int64_t) { clock.SleepFor(absl::Milliseconds(50)); };
  if (validates) {
    engine->script.trial_loss = [](const TrainPlan& plan, int64_t step) {
      return std::abs(plan.learning_rate - 2e-4) + 1.0 / static_cast<double>(step);
    };
  }
  return engine;
}

absl::StatusOr<std::unique_ptr<TrainEngine>> NewEngine(const Options& options, const Deps& deps) {
  LlmTrainEngineOptions llm{.threads = options.threads};
  ASSIGN_OR_RETURN(llm.compute_type, llm::ParseComputeType("compute-type", options.compute_type));
  ASSIGN_OR_RETURN(llm.weights, llm::ParseWeightStorage("base-weights", options.base_weights));
  if (options.engine == "fake") return NewFakeEngine(deps.clock, false);
  if (options.engine == "fake-validating") return NewFakeEngine(deps.clock, true);
  if (options.engine != "llm") {
    return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                 absl::StrCat("engine is '", options.engine, "'; llm and fake are known"));
  }
  deps.logger.Info("compute", {{"as", llm::ToString(llm::Resolve({.threads = llm.threads,
                                                                  .compute_type = llm.compute_type,
                                                                  .weights = llm.weights}))}});
  return std::make_unique<LlmTrainEngine>(llm);
}

// The others meet a worker under the same host, whether it leads or not.
JoinGang JoinAt(const std::string& gang_address) {
  if (gang_address.empty()) return {};
  const std::string host = ParseGangAddress("gang-address", gang_address)->host;
  return [host](llm::Rendezvous rendezvous) -> absl::StatusOr<std::shared_ptr<llm::Collective>> {
    rendezvous.own_host = host;
    return llm::JoinGloo(rendezvous);
  };
}

}  // namespace

struct Module::Impl {
  Impl(const Options& options, const Deps& deps, std::unique_ptr<TrainEngine> engine_)
      : metrics(deps.registry),
        usage(deps.clock, board, metrics, DeviceOf(options)),
        engine(std::move(engine_)),
        client(rpc::NewChannel(options.scheduler),
               {.name = options.name,
                .incarnation = options.incarnation,
                .version = kVersion,
                .threads = usage.device().units,
                .memory_bytes = usage.device().memory_limit_bytes,
                .max_gang = options.max_gang,
                .gang_address = options.gang_address,
                .compute_types = engine->ComputeTypes()},
               options.api_key, deps.clock, &usage),
        worker({client, *engine, deps.blobs, deps.clock, deps.logger, metrics, board,
                JoinAt(options.gang_address)},
               {.runner = {.work_folder = options.work_folder, .keeper = {}}}),
        handler({.service = "crossover.worker.v1.WorkerService",
                 .threads = 2,
                 .authenticator = deps.authenticator},
                deps.clock, deps.logger, deps.registry),
        service(handler, worker, {options.name, options.incarnation, kVersion}, deps.on_drained) {}

  WorkerMetrics metrics;
  StatusBoard board;
  UsageSampler usage;
  std::unique_ptr<TrainEngine> engine;
  GrpcLeaseClient client;
  Worker worker;
  rpc::Handler handler;
  WorkerModule service;
};

absl::StatusOr<std::unique_ptr<Module>> Module::Create(Options options, Deps deps) {
  RETURN_IF_ERROR(CheckGangOptions(options.max_gang, options.gang_address));
  ASSIGN_OR_RETURN(std::unique_ptr<TrainEngine> engine, NewEngine(options, deps));
  if (options.incarnation.empty()) options.incarnation = deps.random.Hex(8);
  return std::unique_ptr<Module>(
      new Module(std::make_unique<Impl>(options, deps, std::move(engine))));
}

Module::Module(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Module::~Module() = default;

std::vector<grpc::Service*> Module::Services() { return impl_->service.Services(); }
absl::Status Module::Start() { return impl_->service.Start(); }
void Module::Drain() { impl_->service.Drain(); }
absl::Status Module::Ready() { return impl_->service.Ready(); }

}  // namespace crossover::worker
