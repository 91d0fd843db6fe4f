// scheduler.v1.PipelineService: translates, and nothing else.
#pragma once

#include <functional>

#include "common/id/uuid7.h"
#include "common/rpc/handler.h"
#include "crossover/scheduler/v1/pipeline_service.grpc.pb.h"
#include "services/training_scheduler/domain/pipeline_runner.h"
#include "services/training_scheduler/domain/pipeline_watch.h"

namespace crossover::scheduler {

// Borrows everything. `due` is called when a pipeline may have become due, `wake_watchers` when
// somebody has begun to watch.
class PipelineServiceImpl final : public v1::PipelineService::CallbackService {
 public:
  PipelineServiceImpl(rpc::Handler& handler, PipelineStore& store, StepServices steps,
                      UuidGenerator& ids, PipelineWatchHub& watchers, std::function<void()> due,
                      std::function<void()> wake_watchers)
      : handler_(handler),
        store_(store),
        steps_(std::move(steps)),
        ids_(ids),
        watchers_(watchers),
        due_(std::move(due)),
        wake_watchers_(std::move(wake_watchers)) {}

#define CROSSOVER_UNARY(method, Request, Response)                                               \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext* context, const Request* request, \
                                   Response* response) override {                                \
    return handler_.Unary(context, #method, [=, this](const rpc::Call&) {                        \
      return Do##method(*request, *response);                                                    \
    });                                                                                          \
  }
  CROSSOVER_UNARY(CreatePipeline, v1::CreatePipelineRequest, v1::Pipeline)
  CROSSOVER_UNARY(GetPipeline, v1::GetPipelineRequest, v1::Pipeline)
  CROSSOVER_UNARY(ListPipelines, v1::ListPipelinesRequest, v1::ListPipelinesResponse)
  CROSSOVER_UNARY(CancelPipeline, v1::CancelPipelineRequest, v1::Pipeline)
  CROSSOVER_UNARY(ResumePipeline, v1::ResumePipelineRequest, v1::Pipeline)
#undef CROSSOVER_UNARY
  grpc::ServerWriteReactor<v1::WatchPipelineResponse>* WatchPipeline(
      grpc::CallbackServerContext* context, const v1::WatchPipelineRequest* request) override;

 private:
  absl::Status DoCreatePipeline(const v1::CreatePipelineRequest& request, v1::Pipeline& response);
  absl::Status DoGetPipeline(const v1::GetPipelineRequest& request, v1::Pipeline& response);
  absl::Status DoListPipelines(const v1::ListPipelinesRequest& request,
                               v1::ListPipelinesResponse& response);
  absl::Status DoCancelPipeline(const v1::CancelPipelineRequest& request, v1::Pipeline& response);
  absl::Status DoResumePipeline(const v1::ResumePipelineRequest& request, v1::Pipeline& response);
  absl::Status Verb(const std::string& name, absl::Status (*verb)(Pipeline&),
                    v1::Pipeline& response);

  rpc::Handler& handler_;
  PipelineStore& store_;
  const StepServices steps_;
  UuidGenerator& ids_;
  PipelineWatchHub& watchers_;
  const std::function<void()> due_;
  const std::function<void()> wake_watchers_;
};

}  // namespace crossover::scheduler
