#include "absl/strings/str_cat.h"
#include "common/rpc/handler.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "crossover/evaluation/v1/ladder_service.grpc.pb.h"
#include "services/evaluation/domain/documents.h"
#include "services/evaluation/transport/convert.h"
#include "services/evaluation/transport/convert_type.h"
#include "services/evaluation/transport/listing.h"
#include "services/evaluation/transport/names.h"
#include "services/evaluation/transport/services.h"

namespace crossover::evaluation {
namespace {

class LadderServiceImpl final : public v1::LadderService::CallbackService {
 public:
  explicit LadderServiceImpl(const ServiceContext& context)
      : context_(context),
        handler_({.service = "crossover.evaluation.v1.LadderService",
                  .authenticator = context.authenticator},
                 context.clock, context.logger, context.metrics) {}

  grpc::ServerUnaryReactor* CreateLadder(grpc::CallbackServerContext* call,
                                         const v1::CreateLadderRequest* request,
                                         v1::Ladder* response) override {
    return handler_.Unary(call, "CreateLadder", [=, this](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
      ASSIGN_OR_RETURN(Ladder ladder, FromProto(request->ladder()));
      RETURN_IF_ERROR(CheckScope(ladder.task, "ladder.task"));
      RETURN_IF_ERROR(CheckScope(ladder.dev_suite, "ladder.dev_suite"));
      RETURN_IF_ERROR(CheckScope(ladder.test_suite, "ladder.test_suite"));
      for (size_t i = 0; i < ladder.rungs.size(); ++i) {
        RETURN_IF_ERROR(
            CheckScope(ladder.rungs[i].system, absl::StrCat("ladder.rungs[", i, "].system")));
      }
      ladder.project = request->parent();
      ASSIGN_OR_RETURN(const RequestKey key, KeyOf(*request, request->request_id()));
      ASSIGN_OR_RETURN(ladder, context_.ladders.Create(ladder, key, request->validate_only()));
      *response = ToProto(ladder);
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* GetLadder(grpc::CallbackServerContext* call,
                                      const v1::GetLadderRequest* request,
                                      v1::Ladder* response) override {
    return handler_.Unary(call, "GetLadder", [=, this](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(request->name(), "projects/*/ladders/*").status());
      ASSIGN_OR_RETURN(Ladder ladder, context_.ladders.Get(request->name()));
      *response = ToProto(ladder);
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* ListLadders(grpc::CallbackServerContext* call,
                                        const v1::ListLaddersRequest* request,
                                        v1::ListLaddersResponse* response) override {
    return handler_.Unary(call, "ListLadders", [=, this](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
      ListRequest list_request{.query = {.kind = kLadderKind, .project = request->parent()},
                               .page_size = request->page_size(),
                               .page_token = request->page_token(),
                               .filter = request->filter(),
                               .order_by = request->order_by(),
                               .filter_fields = {"state", "task", "labels.*"}};
      ASSIGN_OR_RETURN(ListPage page,
                       ListDocuments(context_.store, list_request,
                                     [](const Document& document,
                                        const std::string& field) -> std::optional<std::string> {
                                       auto ladder = FromDocument<Ladder>(document);
                                       if (!ladder.ok()) return std::nullopt;
                                       return CommonField(document, ladder->labels, field);
                                     }));
      response->set_next_page_token(page.next_page_token);
      for (const Document& document : page.documents) {
        ASSIGN_OR_RETURN(Ladder ladder, FromDocument<Ladder>(document));
        *response->add_ladders() = ToProto(ladder);
      }
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* CancelLadder(grpc::CallbackServerContext* call,
                                         const v1::CancelLadderRequest* request,
                                         v1::Ladder* response) override {
    return handler_.Unary(call, "CancelLadder", [=, this](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(request->name(), "projects/*/ladders/*").status());
      ASSIGN_OR_RETURN(Ladder ladder, context_.ladders.Cancel(request->name()));
      *response = ToProto(ladder);
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* CreateLearningCurve(grpc::CallbackServerContext* call,
                                                const v1::CreateLearningCurveRequest*,
                                                v1::LearningCurve*) override {
    return NotServed(call, "CreateLearningCurve");
  }
  grpc::ServerUnaryReactor* GetLearningCurve(grpc::CallbackServerContext* call,
                                             const v1::GetLearningCurveRequest*,
                                             v1::LearningCurve*) override {
    return NotServed(call, "GetLearningCurve");
  }
  grpc::ServerUnaryReactor* ListLearningCurves(grpc::CallbackServerContext* call,
                                               const v1::ListLearningCurvesRequest*,
                                               v1::ListLearningCurvesResponse*) override {
    return NotServed(call, "ListLearningCurves");
  }
  grpc::ServerUnaryReactor* CancelLearningCurve(grpc::CallbackServerContext* call,
                                                const v1::CancelLearningCurveRequest*,
                                                v1::LearningCurve*) override {
    return NotServed(call, "CancelLearningCurve");
  }
  grpc::ServerUnaryReactor* ResumeLearningCurve(grpc::CallbackServerContext* call,
                                                const v1::ResumeLearningCurveRequest*,
                                                v1::LearningCurve*) override {
    return NotServed(call, "ResumeLearningCurve");
  }

 private:
  grpc::ServerUnaryReactor* NotServed(grpc::CallbackServerContext* call, const char* method) {
    return handler_.Unary(call, method, [method](const rpc::Call&) -> absl::Status {
      return Error(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
                   absl::StrCat(method,
                                " is not served yet: seal data set versions of growing size, train "
                                "on each and compare the adapters on one suite"));
    });
  }

  ServiceContext context_;
  rpc::Handler handler_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewLadderService(const ServiceContext& context) {
  return std::make_unique<LadderServiceImpl>(context);
}

}  // namespace crossover::evaluation
