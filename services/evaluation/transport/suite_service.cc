#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/list/resource_name.h"
#include "common/rpc/handler.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "crossover/evaluation/v1/suite_service.grpc.pb.h"
#include "services/evaluation/domain/documents.h"
#include "services/evaluation/transport/convert.h"
#include "services/evaluation/transport/convert_type.h"
#include "services/evaluation/transport/listing.h"
#include "services/evaluation/transport/names.h"
#include "services/evaluation/transport/services.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace crossover::evaluation {
namespace {

constexpr char kVersionPattern[] = "projects/*/suites/*/versions/*";

class SuiteServiceImpl final : public v1::SuiteService::CallbackService {
 public:
  explicit SuiteServiceImpl(const ServiceContext& context)
      : context_(context),
        handler_({.service = "crossover.evaluation.v1.SuiteService",
                  .authenticator = context.authenticator},
                 context.clock, context.logger, context.metrics) {}

  grpc::ServerUnaryReactor* FreezeSuite(grpc::CallbackServerContext* call,
                                        const v1::FreezeSuiteRequest* request,
                                        v1::SuiteVersion* response) override {
    return handler_.Unary(call, "FreezeSuite", [=, this](const rpc::Call&) -> absl::Status {
      ASSIGN_OR_RETURN(std::vector<std::string> parent,
                       ParseScoped(request->parent(), "projects/*/suites/*", "parent"));
      RETURN_IF_ERROR(list::CheckSlug(parent[1], "parent"));
      ASSIGN_OR_RETURN(const RequestKey key, KeyOf(*request, request->request_id()));
      Suites::FreezeRequest freeze{.request = key, .validate_only = request->validate_only()};
      ASSIGN_OR_RETURN(freeze.suite, FromProto(request->suite_version()));
      RETURN_IF_ERROR(CheckScope(freeze.suite.task, "suite_version.task"));
      RETURN_IF_ERROR(CheckScope(freeze.suite.dataset.dataset_version,
                                 "suite_version.dataset.dataset_version"));
      freeze.suite.project = absl::StrCat("projects/", parent[0]);
      freeze.suite.slug = parent[1];
      if (request->suite_version().has_inline_()) {
        ASSIGN_OR_RETURN(freeze.inline_rows, RowsFromProto(request->suite_version().inline_()));
      }
      ASSIGN_OR_RETURN(Suite suite, context_.suites.Freeze(freeze));
      return Answer(suite, response);
    });
  }

  grpc::ServerUnaryReactor* GetSuiteVersion(grpc::CallbackServerContext* call,
                                            const v1::GetSuiteVersionRequest* request,
                                            v1::SuiteVersion* response) override {
    return handler_.Unary(call, "GetSuiteVersion", [=, this](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(request->name(), kVersionPattern).status());
      ASSIGN_OR_RETURN(Suite suite, context_.suites.Get(request->name()));
      return Answer(suite, response);
    });
  }

  grpc::ServerUnaryReactor* ListSuiteVersions(grpc::CallbackServerContext* call,
                                              const v1::ListSuiteVersionsRequest* request,
                                              v1::ListSuiteVersionsResponse* response) override {
    return handler_.Unary(call, "ListSuiteVersions", [=, this](const rpc::Call&) -> absl::Status {
      ASSIGN_OR_RETURN(std::vector<std::string> parent,
                       ParseScoped(request->parent(), "projects/*/suites/*", "parent"));
      ListRequest list_request{.query = {.kind = kSuiteKind,
                                         .project = absl::StrCat("projects/", parent[0]),
                                         .parent = parent[1] == "-" ? "" : parent[1]},
                               .page_size = request->page_size(),
                               .page_token = request->page_token(),
                               .filter = request->filter(),
                               .order_by = request->order_by(),
                               .filter_fields = {"task", "role", "labels.*"}};
      ASSIGN_OR_RETURN(ListPage page,
                       ListDocuments(context_.store, list_request,
                                     [](const Document& document,
                                        const std::string& field) -> std::optional<std::string> {
                                       auto suite = FromDocument<Suite>(document);
                                       if (!suite.ok()) return std::nullopt;
                                       if (field == "role") return Name(suite->role);
                                       return CommonField(document, suite->labels, field);
                                     }));
      response->set_next_page_token(page.next_page_token);
      for (const Document& document : page.documents) {
        ASSIGN_OR_RETURN(Suite suite, FromDocument<Suite>(document));
        RETURN_IF_ERROR(Answer(suite, response->add_suite_versions()));
      }
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* ListSuiteRows(grpc::CallbackServerContext* call,
                                          const v1::ListSuiteRowsRequest* request,
                                          v1::ListSuiteRowsResponse* response) override {
    return handler_.Unary(call, "ListSuiteRows", [=, this](const rpc::Call&) -> absl::Status {
      return ListRows(*request, response);
    });
  }

  grpc::ServerUnaryReactor* Judge(grpc::CallbackServerContext* call,
                                  const v1::JudgeRequest* request,
                                  v1::Judgement* response) override {
    return handler_.Unary(call, "Judge", [=, this](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(request->name(), kVersionPattern).status());
      ASSIGN_OR_RETURN(Judgement judgement, FromProto(request->judgement()));
      ASSIGN_OR_RETURN(judgement, context_.suites.Judge(request->name(), judgement));
      *response = ToProto(judgement);
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* ImportPromptfoo(grpc::CallbackServerContext* call,
                                            const v1::ImportPromptfooRequest*,
                                            v1::ImportPromptfooResponse*) override {
    return NotServed(call, "ImportPromptfoo");
  }
  grpc::ServerUnaryReactor* ImportLmEval(grpc::CallbackServerContext* call,
                                         const v1::ImportLmEvalRequest*,
                                         v1::ImportLmEvalResponse*) override {
    return NotServed(call, "ImportLmEval");
  }

 private:
  grpc::ServerUnaryReactor* NotServed(grpc::CallbackServerContext* call, const char* method) {
    return handler_.Unary(call, method, [method](const rpc::Call&) -> absl::Status {
      return Error(
          absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
          absl::StrCat(
              method,
              " is not served yet: import the rows as a data set (`crossover dataset import`) and "
              "freeze a suite over it with graders, or freeze inline rows"));
    });
  }

  absl::Status Answer(const Suite& suite, v1::SuiteVersion* response) {
    ASSIGN_OR_RETURN(int64_t used, context_.suites.TimesUsed(suite));
    *response = ToProto(suite, used);
    return absl::OkStatus();
  }

  absl::Status ListRows(const v1::ListSuiteRowsRequest& request,
                        v1::ListSuiteRowsResponse* response) {
    RETURN_IF_ERROR(ParseScoped(request.parent(), kVersionPattern, "parent").status());
    ASSIGN_OR_RETURN(Suite suite, context_.suites.Get(request.parent()));
    ASSIGN_OR_RETURN(int size, list::PageSize(request.page_size()));
    ASSIGN_OR_RETURN(
        list::Filter filter,
        list::ParseFilter(request.filter(), {"row_digest", "cluster", "attributes.*"}));
    std::string identity = absl::StrCat("rows|", request.parent(), "|", request.filter());
    ASSIGN_OR_RETURN(std::string position, list::ParsePageToken(request.page_token(), identity));
    size_t at = 0;
    if (!position.empty() && !absl::SimpleAtoi(position, &at))
      return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
                   "page_token is damaged");
    ASSIGN_OR_RETURN(std::vector<SuiteRow> rows, context_.suites.Rows(suite));
    ASSIGN_OR_RETURN(std::vector<Judgement> judgements, context_.suites.Judgements(suite));
    for (; at < rows.size() && response->rows_size() < size; ++at) {
      const SuiteRow& row = rows[at];
      bool wanted =
          list::Matches(filter, [&](const std::string& field) -> std::optional<std::string> {
            if (field == "row_digest") return row.row_digest;
            if (field == "cluster") return row.cluster;
            auto found = row.attributes.find(field.substr(std::string_view("attributes.").size()));
            if (found == row.attributes.end()) return std::nullopt;
            return found->second;
          });
      if (wanted) *response->add_rows() = ToProto(row, judgements, suite.role == SuiteRole::kTest);
    }
    if (at < rows.size())
      response->set_next_page_token(list::MakePageToken(absl::StrCat(at), identity));
    return absl::OkStatus();
  }

  ServiceContext context_;
  rpc::Handler handler_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewSuiteService(const ServiceContext& context) {
  return std::make_unique<SuiteServiceImpl>(context);
}

}  // namespace crossover::evaluation
