#include "services/trainer_worker/transport/worker_service.h"

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "services/trainer_worker/domain/process_usage.h"

namespace crossover::worker {
namespace {

constexpr absl::Duration kDefaultGrace = absl::Seconds(30);

}  // namespace

WorkerModule::~WorkerModule() { Drain(); }

absl::Status WorkerModule::Start() {
  thread_ = std::thread([this] { worker_.Run(); });
  return absl::OkStatus();
}

void WorkerModule::Drain() {
  worker_.Drain();
  // The training thread stops at its next step. Whoever cannot wait that long kills the process:
  // its lease expires by itself.
  if (thread_.joinable()) thread_.join();
}

absl::Status WorkerModule::Ready() {
  if (!worker_.draining()) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING", "the worker drains");
}

grpc::ServerUnaryReactor* WorkerModule::GetStatus(grpc::CallbackServerContext* context,
                                                  const v1::GetStatusRequest*,
                                                  v1::GetStatusResponse* response) {
  return handler_.Unary(context, "GetStatus", [=, this](const rpc::Call&) {
    const JobStatus status = worker_.status();
    response->set_worker(absl::StrCat("workers/", identity_.name));
    response->set_incarnation(identity_.incarnation);
    response->set_version(identity_.version);
    response->set_job(status.job);
    response->set_step(status.step);
    response->set_steps(status.steps);
    response->set_tokens_per_second(status.tokens_per_second);
    response->set_device("cpu");
    response->set_memory_bytes(ThisProcessUsage().memory_bytes);
    if (!status.loaded_base.empty()) response->add_base_digests(status.loaded_base);
    response->set_draining(worker_.draining());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* WorkerModule::Drain(grpc::CallbackServerContext* context,
                                              const v1::DrainRequest* request,
                                              v1::DrainResponse* response) {
  return handler_.Unary(context, "Drain", [=, this](const rpc::Call&) -> absl::Status {
    const absl::Duration grace =
        request->has_grace() ? absl::Seconds(request->grace().seconds()) : kDefaultGrace;
    worker_.Drain();
    const bool drained = worker_.WaitUntilDrained(grace);
    const JobStatus status = worker_.status();
    response->set_job(status.job);
    response->set_checkpoint_step(status.checkpoint_step);
    on_drained_();
    if (drained) return absl::OkStatus();
    return Error(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED",
                 "the running step did not end in time; the lease expires by itself");
  });
}

}  // namespace crossover::worker
