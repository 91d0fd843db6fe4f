// worker.v1.WorkerService, and the module that hosts it.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/rpc/handler.h"
#include "common/rpc/module.h"
#include "crossover/worker/v1/worker_service.grpc.pb.h"
#include "services/trainer_worker/domain/worker.h"

namespace crossover::worker {

struct ServiceIdentity {
  std::string name;
  std::string incarnation;
  std::string version;
};

// Runs the worker on a thread of its own. Borrows everything.
class WorkerModule final : public rpc::Module, public v1::WorkerService::CallbackService {
 public:
  // `on_drained` is called (once, from another thread) when a Drain call has ended the worker's
  // life: the process may exit.
  WorkerModule(rpc::Handler& handler, Worker& worker, ServiceIdentity identity,
               std::function<void()> on_drained)
      : handler_(handler),
        worker_(worker),
        identity_(std::move(identity)),
        on_drained_(std::move(on_drained)) {}
  ~WorkerModule() override;

  std::vector<grpc::Service*> Services() override { return {this}; }
  absl::Status Start() override;
  void Drain() override;
  absl::Status Ready() override;

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetStatusRequest* request,
                                      v1::GetStatusResponse* response) override;
  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context,
                                  const v1::DrainRequest* request,
                                  v1::DrainResponse* response) override;

 private:
  rpc::Handler& handler_;
  Worker& worker_;
  const ServiceIdentity identity_;
  const std::function<void()> on_drained_;
  std::thread thread_;
};

}  // namespace crossover::worker
