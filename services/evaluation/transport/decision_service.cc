#include "absl/strings/str_cat.h"
#include "common/rpc/handler.h"
#include "common/status/status_macros.h"
#include "crossover/evaluation/v1/decision_service.grpc.pb.h"
#include "services/evaluation/domain/documents.h"
#include "services/evaluation/transport/convert.h"
#include "services/evaluation/transport/convert_type.h"
#include "services/evaluation/transport/listing.h"
#include "services/evaluation/transport/names.h"
#include "services/evaluation/transport/services.h"

namespace crossover::evaluation {
namespace {

constexpr char kTaskPattern[] = "projects/*/tasks/*";
constexpr char kDecisionPattern[] = "projects/*/tasks/*/decisions/*";

class DecisionServiceImpl final : public v1::DecisionService::CallbackService {
 public:
  explicit DecisionServiceImpl(const ServiceContext& context)
      : context_(context),
        handler_({.service = "crossover.evaluation.v1.DecisionService",
                  .authenticator = context.authenticator},
                 context.clock, context.logger, context.metrics) {}

  grpc::ServerUnaryReactor* CreateDecision(grpc::CallbackServerContext* call,
                                           const v1::CreateDecisionRequest* request,
                                           v1::Decision* response) override {
    return handler_.Unary(call, "CreateDecision", [=, this](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(request->parent(), kTaskPattern, "parent").status());
      ASSIGN_OR_RETURN(Decision decision, FromProto(request->decision()));
      RETURN_IF_ERROR(CheckScope(decision.inputs.ladder, "decision.inputs.ladder"));
      RETURN_IF_ERROR(
          CheckScope(decision.inputs.dataset_version, "decision.inputs.dataset_version"));
      RETURN_IF_ERROR(CheckScope(decision.inputs.comparison, "decision.inputs.comparison"));
      decision.task = request->parent();
      ASSIGN_OR_RETURN(const RequestKey key, KeyOf(*request, request->request_id()));
      ASSIGN_OR_RETURN(decision,
                       context_.decisions.Create(decision, key, request->validate_only()));
      *response = ToProto(decision);
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* GetDecision(grpc::CallbackServerContext* call,
                                        const v1::GetDecisionRequest* request,
                                        v1::Decision* response) override {
    return Verb(call, "GetDecision", request->name(), response,
                [this](const std::string& name) { return context_.decisions.Get(name); });
  }
  grpc::ServerUnaryReactor* SignDecision(grpc::CallbackServerContext* call,
                                         const v1::SignDecisionRequest* request,
                                         v1::Decision* response) override {
    return Verb(call, "SignDecision", request->name(), response,
                [this, request](const std::string& name) {
                  return context_.decisions.Sign(name, request->by(), request->reason());
                });
  }
  grpc::ServerUnaryReactor* VetoDecision(grpc::CallbackServerContext* call,
                                         const v1::VetoDecisionRequest* request,
                                         v1::Decision* response) override {
    return Verb(call, "VetoDecision", request->name(), response,
                [this, request](const std::string& name) {
                  return context_.decisions.Veto(name, request->by(), request->reason());
                });
  }
  grpc::ServerUnaryReactor* WaiveCondition(grpc::CallbackServerContext* call,
                                           const v1::WaiveConditionRequest* request,
                                           v1::Decision* response) override {
    return Verb(call, "WaiveCondition", request->name(), response,
                [this, request](const std::string& name) {
                  return context_.decisions.Waive(name, request->condition(), request->by(),
                                                  request->reason());
                });
  }
  grpc::ServerUnaryReactor* ReopenDecision(grpc::CallbackServerContext* call,
                                           const v1::ReopenDecisionRequest* request,
                                           v1::Decision* response) override {
    return Verb(call, "ReopenDecision", request->name(), response,
                [this, request](const std::string& name) {
                  return context_.decisions.Reopen(name, request->trigger());
                });
  }

  grpc::ServerUnaryReactor* ListDecisions(grpc::CallbackServerContext* call,
                                          const v1::ListDecisionsRequest* request,
                                          v1::ListDecisionsResponse* response) override {
    return handler_.Unary(call, "ListDecisions", [=, this](const rpc::Call&) -> absl::Status {
      ASSIGN_OR_RETURN(std::vector<std::string> parent,
                       ParseScoped(request->parent(), kTaskPattern, "parent"));
      ListRequest list_request{.query = {.kind = kDecisionKind,
                                         .project = absl::StrCat("projects/", parent[0]),
                                         .task = parent[1] == "-" ? "" : request->parent()},
                               .page_size = request->page_size(),
                               .page_token = request->page_token(),
                               .filter = request->filter(),
                               .order_by = request->order_by(),
                               .filter_fields = {"state", "recommendation", "labels.*"}};
      ASSIGN_OR_RETURN(ListPage page,
                       ListDocuments(context_.store, list_request,
                                     [](const Document& document,
                                        const std::string& field) -> std::optional<std::string> {
                                       auto decision = FromDocument<Decision>(document);
                                       if (!decision.ok()) return std::nullopt;
                                       if (field == "recommendation")
                                         return Name(decision->verdict.recommendation);
                                       return CommonField(document, decision->labels, field);
                                     }));
      response->set_next_page_token(page.next_page_token);
      for (const Document& document : page.documents) {
        ASSIGN_OR_RETURN(Decision decision, FromDocument<Decision>(document));
        *response->add_decisions() = ToProto(decision);
      }
      return absl::OkStatus();
    });
  }

 private:
  grpc::ServerUnaryReactor* Verb(grpc::CallbackServerContext* call, const char* method,
                                 const std::string& name, v1::Decision* response,
                                 std::function<absl::StatusOr<Decision>(const std::string&)> verb) {
    return handler_.Unary(call, method, [=](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(name, kDecisionPattern).status());
      ASSIGN_OR_RETURN(Decision decision, verb(name));
      *response = ToProto(decision);
      return absl::OkStatus();
    });
  }

  ServiceContext context_;
  rpc::Handler handler_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewDecisionService(const ServiceContext& context) {
  return std::make_unique<DecisionServiceImpl>(context);
}

}  // namespace crossover::evaluation
