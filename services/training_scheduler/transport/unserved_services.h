// scheduler.v1.PipelineService and WebhookService: part of the interface, not served yet. Every
// method answers UNIMPLEMENTED NOT_IMPLEMENTED with what to do instead
// (docs/adr/2026-11-22-methods-that-answer-unimplemented.md).
#pragma once

#include "common/rpc/handler.h"
#include "crossover/scheduler/v1/pipeline_service.grpc.pb.h"
#include "crossover/scheduler/v1/webhook_service.grpc.pb.h"
#include "services/training_scheduler/transport/not_implemented.h"

namespace crossover::scheduler {

#define CROSSOVER_UNSERVED(method, Request, Response, what, instead)                       \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext* context, const Request*,   \
                                   Response*) override {                                   \
    return handler_.Unary(context, #method,                                                \
                          [](const rpc::Call&) { return NotImplemented(what, instead); }); \
  }

// Borrows the handler.
class PipelineServiceImpl final : public v1::PipelineService::CallbackService {
 public:
  explicit PipelineServiceImpl(rpc::Handler& handler) : handler_(handler) {}

#define CROSSOVER_PIPELINE(method, Request, Response)                             \
  CROSSOVER_UNSERVED(method, v1::Request, v1::Response, "the " #method " method", \
                     "start the steps one after the other, and chain jobs with depends_on")
  CROSSOVER_PIPELINE(CreatePipeline, CreatePipelineRequest, Pipeline)
  CROSSOVER_PIPELINE(GetPipeline, GetPipelineRequest, Pipeline)
  CROSSOVER_PIPELINE(ListPipelines, ListPipelinesRequest, ListPipelinesResponse)
  CROSSOVER_PIPELINE(CancelPipeline, CancelPipelineRequest, Pipeline)
  CROSSOVER_PIPELINE(ResumePipeline, ResumePipelineRequest, Pipeline)
#undef CROSSOVER_PIPELINE

 private:
  rpc::Handler& handler_;
};

// Borrows the handler.
class WebhookServiceImpl final : public v1::WebhookService::CallbackService {
 public:
  explicit WebhookServiceImpl(rpc::Handler& handler) : handler_(handler) {}

#define CROSSOVER_WEBHOOK(method, Request, Response)                          \
  CROSSOVER_UNSERVED(method, v1::Request, Response, "the " #method " method", \
                     "follow a job with WatchJob, whose resume token replays without gap")
  CROSSOVER_WEBHOOK(CreateWebhookEndpoint, CreateWebhookEndpointRequest, v1::WebhookEndpoint)
  CROSSOVER_WEBHOOK(ListWebhookEndpoints, ListWebhookEndpointsRequest,
                    v1::ListWebhookEndpointsResponse)
  CROSSOVER_WEBHOOK(DeleteWebhookEndpoint, DeleteWebhookEndpointRequest, google::protobuf::Empty)
  CROSSOVER_WEBHOOK(ListWebhookDeliveries, ListWebhookDeliveriesRequest,
                    v1::ListWebhookDeliveriesResponse)
  CROSSOVER_WEBHOOK(RedeliverWebhook, RedeliverWebhookRequest, v1::WebhookDelivery)
#undef CROSSOVER_WEBHOOK

 private:
  rpc::Handler& handler_;
};

#undef CROSSOVER_UNSERVED

}  // namespace crossover::scheduler
