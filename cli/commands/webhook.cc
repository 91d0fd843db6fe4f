// crossover webhook: who is told of the ends of training jobs.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/client/names.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "crossover/scheduler/v1/webhook_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace scheduler = ::crossover::scheduler::v1;
using WebhookStub = scheduler::WebhookService::Stub;

struct WebhookOptions {
  std::string url;
  std::string endpoint = "-";
  std::string delivery;
  std::string state;
  std::vector<std::string> events;
  int limit = 50;
};

absl::Status CreateWebhook(Context& context, const WebhookOptions& options) {
  auto stub = scheduler::WebhookService::NewStub(context.Channel());
  scheduler::CreateWebhookEndpointRequest request;
  request.set_parent(context.Project());
  request.set_request_id(context.RequestId());
  request.mutable_webhook_endpoint()->set_url(options.url);
  for (const std::string& event : options.events) {
    request.mutable_webhook_endpoint()->add_event_types(event);
  }
  ASSIGN_OR_RETURN(const scheduler::WebhookEndpoint endpoint,
                   context.Call(stub, &WebhookStub::CreateWebhookEndpoint, request, true));
  if (context.PrintedJson(endpoint)) return absl::OkStatus();
  context.terminal().err << "webhook " << IdOf(endpoint.name())
                         << "; the signing secret is shown this once:\n";
  context.terminal().out << endpoint.secret() << "\n";
  return absl::OkStatus();
}

absl::Status ListWebhooks(Context& context) {
  auto stub = scheduler::WebhookService::NewStub(context.Channel());
  scheduler::ListWebhookEndpointsRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &WebhookStub::ListWebhookEndpoints, request,
                                   [](auto& page) { return page.mutable_webhook_endpoints(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"WEBHOOK"}, {"STATE"}, {"URL", Align::kLeft, true}, {"EVENTS"}, {"CREATED"}});
  for (const scheduler::WebhookEndpoint& endpoint : list.webhook_endpoints()) {
    table.AddRow(
        {std::string(IdOf(endpoint.name())), endpoint.disabled() ? "disabled" : "active",
         endpoint.url(),
         endpoint.event_types().empty() ? "all" : absl::StrJoin(endpoint.event_types(), " "),
         Ago(endpoint.create_time(), context.Now())});
  }
  context.terminal().out << (table.empty()
                                 ? "no webhooks yet; `crossover webhook create` makes one\n"
                                 : table.Render(context.terminal()));
  return absl::OkStatus();
}

absl::Status DeleteWebhook(Context& context, const WebhookOptions& options) {
  auto stub = scheduler::WebhookService::NewStub(context.Channel());
  scheduler::DeleteWebhookEndpointRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(),
                   FullName(context, "webhookEndpoints", options.endpoint));
  ASSIGN_OR_RETURN(const google::protobuf::Empty done,
                   context.Call(stub, &WebhookStub::DeleteWebhookEndpoint, request));
  if (!context.PrintedJson(done)) context.terminal().out << "deleted\n";
  return absl::OkStatus();
}

absl::Status ListDeliveries(Context& context, const WebhookOptions& options) {
  auto stub = scheduler::WebhookService::NewStub(context.Channel());
  scheduler::ListWebhookDeliveriesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_parent(),
                   FullName(context, "webhookEndpoints", options.endpoint));
  if (!options.state.empty()) {
    request.set_filter("state = " + absl::AsciiStrToUpper(options.state));
  }
  ASSIGN_OR_RETURN(
      const auto list,
      context.ListAll(
          stub, &WebhookStub::ListWebhookDeliveries, request,
          [](auto& page) { return page.mutable_webhook_deliveries(); }, options.limit));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"DELIVERY"},
               {"EVENT"},
               {"JOB"},
               {"STATE"},
               {"TRIED", Align::kRight},
               {"NEXT"},
               {"ANSWER", Align::kLeft, true}});
  for (const scheduler::WebhookDelivery& delivery : list.webhook_deliveries()) {
    const std::string status =
        delivery.response_status() == 0 ? "" : absl::StrCat(delivery.response_status(), " ");
    table.AddRow({std::string(IdOf(delivery.name())), delivery.event_type(),
                  ShortName(delivery.job()),
                  EnumWord(scheduler::WebhookDelivery::State_Name(delivery.state())),
                  absl::StrCat(delivery.attempts()), Ago(delivery.next_time(), context.Now()),
                  status + delivery.response()});
  }
  context.terminal().out << (table.empty() ? "no deliveries\n" : table.Render(context.terminal()));
  return absl::OkStatus();
}

absl::Status Redeliver(Context& context, const WebhookOptions& options) {
  auto stub = scheduler::WebhookService::NewStub(context.Channel());
  scheduler::RedeliverWebhookRequest request;
  ASSIGN_OR_RETURN(const std::string endpoint,
                   FullName(context, "webhookEndpoints", options.endpoint));
  request.set_name(absl::StrCat(endpoint, "/deliveries/", options.delivery));
  ASSIGN_OR_RETURN(const scheduler::WebhookDelivery delivery,
                   context.Call(stub, &WebhookStub::RedeliverWebhook, request, true));
  if (context.PrintedJson(delivery)) return absl::OkStatus();
  context.terminal().out << "delivery " << IdOf(delivery.name()) << " will be tried now\n";
  return absl::OkStatus();
}

}  // namespace

void AddWebhook(CLI::App& app, Context& context) {
  auto options = std::make_shared<WebhookOptions>();
  CLI::App* group = AddGroup(app, "webhook", "Who is told when training jobs end");
  CLI::App* create = AddCommand(
      *group, context, "create", "Post ends of jobs to a URL; the signing secret is printed once",
      "  crossover webhook create https://example.com/hooks\n"
      "  crossover webhook create https://example.com/hooks --event fine_tuning.job.failed",
      [&context, options] { return CreateWebhook(context, *options); });
  create->add_option("url", options->url, "Where to post")->required();
  create->add_option("--event", options->events,
                     "fine_tuning.job.succeeded, .failed or .cancelled; default all; may be given "
                     "again");
  AddCommand(*group, context, "list", "List webhooks", "",
             [&context] { return ListWebhooks(context); });
  AddCommand(*group, context, "delete", "Delete a webhook and its deliveries", "",
             [&context, options] { return DeleteWebhook(context, *options); })
      ->add_option("webhook", options->endpoint, "Id or name")
      ->required();
  CLI::App* deliveries =
      AddCommand(*group, context, "deliveries", "What was posted, newest first", "",
                 [&context, options] { return ListDeliveries(context, *options); });
  deliveries->add_option("webhook", options->endpoint, "Id or name; default all");
  deliveries->add_option("--state", options->state, "pending, delivered or exhausted");
  deliveries->add_option("--limit", options->limit, "Most deliveries; 0 = all")
      ->capture_default_str();
  CLI::App* redeliver = AddCommand(*group, context, "redeliver", "Try a delivery again now", "",
                                   [&context, options] { return Redeliver(context, *options); });
  redeliver->add_option("webhook", options->endpoint, "Id or name")->required();
  redeliver->add_option("delivery", options->delivery, "Id")->required();
}

}  // namespace crossover::cli
