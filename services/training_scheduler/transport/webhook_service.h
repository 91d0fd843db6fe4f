// scheduler.v1.WebhookService: translates, and nothing else.
#pragma once

#include <functional>
#include <string>

#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/rpc/handler.h"
#include "crossover/scheduler/v1/webhook_service.grpc.pb.h"
#include "services/training_scheduler/domain/webhook_store.h"

namespace crossover::scheduler {

// Borrows everything. `due` is called when a delivery may have become due.
class WebhookServiceImpl final : public v1::WebhookService::CallbackService {
 public:
  WebhookServiceImpl(rpc::Handler& handler, WebhookStore& store, UuidGenerator& ids,
                     RandomSource& random, std::function<void()> due)
      : handler_(handler), store_(store), ids_(ids), random_(random), due_(std::move(due)) {}

#define CROSSOVER_UNARY(method, Request, Response)                                               \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext* context, const Request* request, \
                                   Response* response) override {                                \
    return handler_.Unary(context, #method, [=, this](const rpc::Call&) {                        \
      return Do##method(*request, *response);                                                    \
    });                                                                                          \
  }
  CROSSOVER_UNARY(CreateWebhookEndpoint, v1::CreateWebhookEndpointRequest, v1::WebhookEndpoint)
  CROSSOVER_UNARY(GetWebhookEndpoint, v1::GetWebhookEndpointRequest, v1::WebhookEndpoint)
  CROSSOVER_UNARY(UpdateWebhookEndpoint, v1::UpdateWebhookEndpointRequest, v1::WebhookEndpoint)
  CROSSOVER_UNARY(ListWebhookEndpoints, v1::ListWebhookEndpointsRequest,
                  v1::ListWebhookEndpointsResponse)
  CROSSOVER_UNARY(DeleteWebhookEndpoint, v1::DeleteWebhookEndpointRequest, google::protobuf::Empty)
  CROSSOVER_UNARY(ListWebhookDeliveries, v1::ListWebhookDeliveriesRequest,
                  v1::ListWebhookDeliveriesResponse)
  CROSSOVER_UNARY(RedeliverWebhook, v1::RedeliverWebhookRequest, v1::WebhookDelivery)
#undef CROSSOVER_UNARY

 private:
  absl::Status DoCreateWebhookEndpoint(const v1::CreateWebhookEndpointRequest& request,
                                       v1::WebhookEndpoint& response);
  absl::Status DoGetWebhookEndpoint(const v1::GetWebhookEndpointRequest& request,
                                    v1::WebhookEndpoint& response);
  absl::Status DoUpdateWebhookEndpoint(const v1::UpdateWebhookEndpointRequest& request,
                                       v1::WebhookEndpoint& response);
  absl::Status DoListWebhookEndpoints(const v1::ListWebhookEndpointsRequest& request,
                                      v1::ListWebhookEndpointsResponse& response);
  absl::Status DoDeleteWebhookEndpoint(const v1::DeleteWebhookEndpointRequest& request,
                                       google::protobuf::Empty& response);
  absl::Status DoListWebhookDeliveries(const v1::ListWebhookDeliveriesRequest& request,
                                       v1::ListWebhookDeliveriesResponse& response);
  absl::Status DoRedeliverWebhook(const v1::RedeliverWebhookRequest& request,
                                  v1::WebhookDelivery& response);

  rpc::Handler& handler_;
  WebhookStore& store_;
  UuidGenerator& ids_;
  RandomSource& random_;
  const std::function<void()> due_;
};

}  // namespace crossover::scheduler
