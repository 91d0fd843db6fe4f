// scheduler.v1.LeaseService: translates, and nothing else.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "common/log/logger.h"
#include "common/rpc/handler.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "services/training_scheduler/domain/lease_queue.h"
#include "services/training_scheduler/domain/leasing.h"

namespace crossover::scheduler {

// Borrows everything.
class LeaseServiceImpl final : public v1::LeaseService::CallbackService {
 public:
  // `wake_queue` is called when a wait has been parked, so that its end is known.
  LeaseServiceImpl(rpc::Handler& handler, Leasing& leasing, LeaseQueue& queue, Logger& logger,
                   std::function<void()> wake_queue)
      : handler_(handler),
        leasing_(leasing),
        queue_(queue),
        logger_(logger),
        wake_queue_(std::move(wake_queue)) {}

  grpc::ServerUnaryReactor* LeaseJob(grpc::CallbackServerContext* context,
                                     const v1::LeaseJobRequest* request,
                                     v1::LeaseJobResponse* response) override;
  grpc::ServerUnaryReactor* Heartbeat(grpc::CallbackServerContext* context,
                                      const v1::HeartbeatRequest* request,
                                      v1::HeartbeatResponse* response) override;
  grpc::ServerUnaryReactor* RecordCheckpoint(grpc::CallbackServerContext* context,
                                             const v1::RecordCheckpointRequest* request,
                                             v1::RecordCheckpointResponse* response) override;
  grpc::ServerUnaryReactor* CompleteJob(grpc::CallbackServerContext* context,
                                        const v1::CompleteJobRequest* request,
                                        v1::CompleteJobResponse* response) override;
  grpc::ServerUnaryReactor* ReleaseLease(grpc::CallbackServerContext* context,
                                         const v1::ReleaseLeaseRequest* request,
                                         v1::ReleaseLeaseResponse* response) override;

 private:
  // A wrong number is logged, and no reason to refuse the call. `who`: worker or job.
  void DropWrong(const std::string& who, std::optional<WorkerUsage>& usage);

  rpc::Handler& handler_;
  Leasing& leasing_;
  LeaseQueue& queue_;
  Logger& logger_;
  const std::function<void()> wake_queue_;
};

}  // namespace crossover::scheduler
