#include "services/training_scheduler/transport/webhook_service.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/names.h"
#include "services/training_scheduler/domain/webhook_signature.h"
#include "services/training_scheduler/transport/convert.h"
#include "services/training_scheduler/transport/enums.h"
#include "services/training_scheduler/transport/job_query.h"

namespace crossover::scheduler {
namespace {

constexpr char kEndpointPattern[] = "projects/*/webhookEndpoints/*";

std::string EndpointName(const std::string& project, const std::string& id) {
  return absl::StrCat("projects/", project, "/webhookEndpoints/", id);
}

// The secret is told by CreateWebhookEndpoint only.
v1::WebhookEndpoint EndpointToProto(const WebhookEndpoint& endpoint) {
  v1::WebhookEndpoint out;
  out.set_name(EndpointName(endpoint.project, endpoint.id));
  *out.mutable_create_time() = ToProto(endpoint.create_time);
  *out.mutable_update_time() = ToProto(endpoint.update_time);
  out.set_etag(EtagOf(endpoint.update_time));
  out.mutable_labels()->insert(endpoint.labels.begin(), endpoint.labels.end());
  out.set_url(endpoint.url);
  out.mutable_event_types()->Add(endpoint.event_types.begin(), endpoint.event_types.end());
  out.set_disabled(endpoint.disabled);
  return out;
}

v1::WebhookDelivery DeliveryToProto(const WebhookDelivery& delivery) {
  v1::WebhookDelivery out;
  out.set_name(
      absl::StrCat(EndpointName(delivery.project, delivery.endpoint), "/deliveries/", delivery.id));
  *out.mutable_create_time() = ToProto(delivery.create_time);
  *out.mutable_update_time() = ToProto(delivery.update_time);
  out.set_state(ToEnum<v1::WebhookDelivery::State>(Name(delivery.state)));
  out.set_event_type(delivery.event_type);
  out.set_job(FormatJobName(delivery.project, delivery.job));
  out.set_attempts(delivery.attempts);
  if (delivery.next_time.has_value()) *out.mutable_next_time() = ToProto(*delivery.next_time);
  out.set_response_status(delivery.response_status);
  out.set_response(delivery.response);
  return out;
}

// nullopt: nothing can match.
absl::StatusOr<std::optional<DeliveryQuery>> ToDeliveryQuery(
    const v1::ListWebhookDeliveriesRequest& request, const std::string& key) {
  DeliveryQuery query;
  ASSIGN_OR_RETURN(std::vector<std::string> parts,
                   ParseScoped(request.parent(), kEndpointPattern, "parent"));
  query.project = parts[0];
  query.endpoint = parts[1] == "-" ? "" : parts[1];
  ASSIGN_OR_RETURN(query.limit, list::PageSize(request.page_size()));
  ASSIGN_OR_RETURN(query.before, list::ParsePageToken(request.page_token(), key));
  ASSIGN_OR_RETURN(list::Filter filter, list::ParseFilter(request.filter(), {"state", "job"}));
  RETURN_IF_ERROR(list::RequireEqualityOnly(filter));
  if (const auto state = list::EqualTo(filter, "state"); state.has_value()) {
    query.state = ParseDeliveryState(*state);
    if (!query.state.has_value()) {
      return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                   absl::StrCat("filter: state has no value '", *state,
                                "'; it is PENDING, DELIVERED or EXHAUSTED"));
    }
  }
  if (const auto job = list::EqualTo(filter, "job"); job.has_value()) {
    ASSIGN_OR_RETURN(JobName name, ParseJobName("filter.job", *job));
    query.job = name.job;
  }
  if (list::IsContradiction(filter)) return std::optional<DeliveryQuery>();
  return std::optional(std::move(query));
}

}  // namespace

absl::Status WebhookServiceImpl::DoCreateWebhookEndpoint(
    const v1::CreateWebhookEndpointRequest& request, v1::WebhookEndpoint& response) {
  const v1::WebhookEndpoint& from = request.webhook_endpoint();
  WebhookEndpoint endpoint;
  ASSIGN_OR_RETURN(endpoint.project, ParseProject("parent", request.parent()));
  endpoint.url = from.url();
  endpoint.event_types = {from.event_types().begin(), from.event_types().end()};
  endpoint.labels = {from.labels().begin(), from.labels().end()};
  endpoint.disabled = from.disabled();
  RETURN_IF_ERROR(CheckEndpoint(endpoint));
  endpoint.id = ids_.NextId();
  endpoint.secret = NewWebhookSecret(random_);
  ASSIGN_OR_RETURN(const RequestKey key, ToRequestKey(request.request_id(), from));
  ASSIGN_OR_RETURN(endpoint, store_.CreateEndpoint(endpoint, key));
  response = EndpointToProto(endpoint);
  response.set_secret(endpoint.secret);
  return absl::OkStatus();
}

absl::Status WebhookServiceImpl::DoGetWebhookEndpoint(const v1::GetWebhookEndpointRequest& request,
                                                      v1::WebhookEndpoint& response) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts,
                   ParseScoped(request.name(), kEndpointPattern, "name"));
  ASSIGN_OR_RETURN(WebhookEndpoint endpoint, store_.GetEndpoint(parts[0], parts[1]));
  response = EndpointToProto(endpoint);
  return absl::OkStatus();
}

absl::Status WebhookServiceImpl::DoUpdateWebhookEndpoint(
    const v1::UpdateWebhookEndpointRequest& request, v1::WebhookEndpoint& response) {
  const v1::WebhookEndpoint& from = request.webhook_endpoint();
  ASSIGN_OR_RETURN(std::vector<std::string> parts,
                   ParseScoped(from.name(), kEndpointPattern, "webhook_endpoint.name"));
  ASSIGN_OR_RETURN(WebhookEndpoint endpoint, store_.GetEndpoint(parts[0], parts[1]));
  if (!from.etag().empty() && from.etag() != EtagOf(endpoint.update_time)) {
    return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                 "the webhook endpoint has changed since it was read; read it, merge, try again");
  }
  if (request.update_mask().paths().empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                 "update_mask is required: of url, event_types, labels, disabled");
  }
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "url") {
      endpoint.url = from.url();
    } else if (path == "event_types") {
      endpoint.event_types = {from.event_types().begin(), from.event_types().end()};
    } else if (path == "labels") {
      endpoint.labels = {from.labels().begin(), from.labels().end()};
    } else if (path == "disabled") {
      endpoint.disabled = from.disabled();
    } else {
      return Error(absl::StatusCode::kInvalidArgument, "UPDATE_MASK_INVALID",
                   absl::StrCat("update_mask has '", path,
                                "'; url, event_types, labels and disabled can change"));
    }
  }
  RETURN_IF_ERROR(CheckEndpoint(endpoint));
  ASSIGN_OR_RETURN(endpoint, store_.UpdateEndpoint(endpoint));
  response = EndpointToProto(endpoint);
  due_();
  return absl::OkStatus();
}

absl::Status WebhookServiceImpl::DoListWebhookEndpoints(
    const v1::ListWebhookEndpointsRequest& request, v1::ListWebhookEndpointsResponse& response) {
  ASSIGN_OR_RETURN(std::string project, ParseProject("parent", request.parent()));
  ASSIGN_OR_RETURN(int64_t limit, list::PageSize(request.page_size()));
  ASSIGN_OR_RETURN(std::string before,
                   list::ParsePageToken(request.page_token(), request.parent()));
  ASSIGN_OR_RETURN(std::vector<WebhookEndpoint> endpoints,
                   store_.ListEndpoints(project, before, limit));
  for (const WebhookEndpoint& endpoint : endpoints) {
    *response.add_webhook_endpoints() = EndpointToProto(endpoint);
  }
  if (static_cast<int64_t>(endpoints.size()) == limit) {
    response.set_next_page_token(list::MakePageToken(endpoints.back().id, request.parent()));
  }
  return absl::OkStatus();
}

absl::Status WebhookServiceImpl::DoDeleteWebhookEndpoint(
    const v1::DeleteWebhookEndpointRequest& request, google::protobuf::Empty&) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts,
                   ParseScoped(request.name(), kEndpointPattern, "name"));
  return store_.DeleteEndpoint(parts[0], parts[1]);
}

absl::Status WebhookServiceImpl::DoListWebhookDeliveries(
    const v1::ListWebhookDeliveriesRequest& request, v1::ListWebhookDeliveriesResponse& response) {
  const std::string key = absl::StrCat(request.parent(), "\n", request.filter());
  ASSIGN_OR_RETURN(const std::optional<DeliveryQuery> query, ToDeliveryQuery(request, key));
  if (!query.has_value()) return absl::OkStatus();
  if (!query->endpoint.empty()) {
    RETURN_IF_ERROR(store_.GetEndpoint(query->project, query->endpoint).status());
  }
  ASSIGN_OR_RETURN(std::vector<WebhookDelivery> deliveries, store_.ListDeliveries(*query));
  for (const WebhookDelivery& delivery : deliveries) {
    *response.add_webhook_deliveries() = DeliveryToProto(delivery);
  }
  if (static_cast<int64_t>(deliveries.size()) == query->limit) {
    response.set_next_page_token(list::MakePageToken(deliveries.back().id, key));
  }
  return absl::OkStatus();
}

absl::Status WebhookServiceImpl::DoRedeliverWebhook(const v1::RedeliverWebhookRequest& request,
                                                    v1::WebhookDelivery& response) {
  ASSIGN_OR_RETURN(
      std::vector<std::string> parts,
      ParseScoped(request.name(), "projects/*/webhookEndpoints/*/deliveries/*", "name"));
  ASSIGN_OR_RETURN(WebhookDelivery delivery, store_.Redeliver(parts[0], parts[1], parts[2]));
  response = DeliveryToProto(delivery);
  due_();
  return absl::OkStatus();
}

}  // namespace crossover::scheduler
