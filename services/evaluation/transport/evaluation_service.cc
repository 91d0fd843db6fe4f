#include <algorithm>
#include <unordered_map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/rpc/handler.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"
#include "services/evaluation/domain/documents.h"
#include "services/evaluation/transport/convert.h"
#include "services/evaluation/transport/convert_type.h"
#include "services/evaluation/transport/listing.h"
#include "services/evaluation/transport/names.h"
#include "services/evaluation/transport/services.h"

namespace crossover::evaluation {
namespace {

constexpr char kRunPattern[] = "projects/*/runs/*";
constexpr double kDefaultLevel = 0.95;

class EvaluationServiceImpl final : public v1::EvaluationService::CallbackService {
 public:
  EvaluationServiceImpl(const ServiceContext& context, RunWatcher& watcher)
      : context_(context),
        watcher_(watcher),
        handler_({.service = "crossover.evaluation.v1.EvaluationService",
                  .authenticator = context.authenticator},
                 context.clock, context.logger, context.metrics) {}

  grpc::ServerUnaryReactor* CreateRun(grpc::CallbackServerContext* call,
                                      const v1::CreateRunRequest* request,
                                      v1::Run* response) override {
    return handler_.Unary(call, "CreateRun", [=, this](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
      ASSIGN_OR_RETURN(Run run, FromProto(request->run()));
      RETURN_IF_ERROR(CheckScope(run.suite_version, "run.suite_version"));
      for (size_t i = 0; i < run.systems.size(); ++i)
        RETURN_IF_ERROR(CheckScope(run.systems[i], absl::StrCat("run.systems[", i, "]")));
      run.project = request->parent();
      ASSIGN_OR_RETURN(const RequestKey key, KeyOf(*request, request->request_id()));
      ASSIGN_OR_RETURN(run, context_.runs.Create(run, key, request->validate_only()));
      *response = ToProto(run);
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* GetRun(grpc::CallbackServerContext* call,
                                   const v1::GetRunRequest* request, v1::Run* response) override {
    return Verb(call, "GetRun", request->name(), response,
                [this](const std::string& name) { return context_.runs.Get(name); });
  }
  grpc::ServerUnaryReactor* CancelRun(grpc::CallbackServerContext* call,
                                      const v1::CancelRunRequest* request,
                                      v1::Run* response) override {
    return Verb(call, "CancelRun", request->name(), response,
                [this](const std::string& name) { return context_.runs.Cancel(name); });
  }
  grpc::ServerUnaryReactor* PauseRun(grpc::CallbackServerContext* call,
                                     const v1::PauseRunRequest* request,
                                     v1::Run* response) override {
    return Verb(call, "PauseRun", request->name(), response,
                [this](const std::string& name) { return context_.runs.Pause(name); });
  }
  grpc::ServerUnaryReactor* ResumeRun(grpc::CallbackServerContext* call,
                                      const v1::ResumeRunRequest* request,
                                      v1::Run* response) override {
    return Verb(call, "ResumeRun", request->name(), response,
                [this, request](const std::string& name) -> absl::StatusOr<Run> {
                  std::optional<double> cap;
                  if (request->has_cost_cap()) {
                    ASSIGN_OR_RETURN(cap, ToUsd(request->cost_cap(), "cost_cap"));
                  }
                  return context_.runs.Resume(name, cap);
                });
  }

  grpc::ServerUnaryReactor* ListRuns(grpc::CallbackServerContext* call,
                                     const v1::ListRunsRequest* request,
                                     v1::ListRunsResponse* response) override {
    return handler_.Unary(call, "ListRuns", [=, this](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
      ListRequest list_request{
          .query = {.kind = kRunKind, .project = request->parent()},
          .page_size = request->page_size(),
          .page_token = request->page_token(),
          .filter = request->filter(),
          .order_by = request->order_by(),
          .filter_fields = {"state", "task", "suite_version", "systems.digest", "labels.*"}};
      ASSIGN_OR_RETURN(ListPage page, ListDocuments(context_.store, list_request, RunField));
      response->set_next_page_token(page.next_page_token);
      for (const Document& document : page.documents) {
        ASSIGN_OR_RETURN(Run run, FromDocument<Run>(document));
        *response->add_runs() = ToProto(run);
      }
      return absl::OkStatus();
    });
  }

  grpc::ServerWriteReactor<v1::WatchRunResponse>* WatchRun(
      grpc::CallbackServerContext* call, const v1::WatchRunRequest* request) override {
    return handler_.ServerStream<v1::WatchRunResponse>(
        call, "WatchRun", [=, this](const rpc::Call&, rpc::Stream<v1::WatchRunResponse> stream) {
          if (absl::Status scope = ParseScoped(request->name(), kRunPattern).status();
              !scope.ok()) {
            stream.Finish(scope);
            return;
          }
          int64_t after = 0;
          if (!request->resume_token().empty() &&
              (!absl::SimpleAtoi(request->resume_token(), &after) || after < 0)) {
            stream.Finish(Error(absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED",
                                "the resume token is unknown; watch without one"));
            return;
          }
          watcher_.Watch(request->name(), after, std::move(stream));
        });
  }

  grpc::ServerUnaryReactor* ListAnswers(grpc::CallbackServerContext* call,
                                        const v1::ListAnswersRequest* request,
                                        v1::ListAnswersResponse* response) override {
    return handler_.Unary(call, "ListAnswers", [=, this](const rpc::Call&) -> absl::Status {
      return FillAnswers(*request, response);
    });
  }

  grpc::ServerUnaryReactor* Compare(grpc::CallbackServerContext* call,
                                    const v1::CompareRequest* request,
                                    v1::Comparison* response) override {
    return handler_.Unary(call, "Compare", [=, this](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
      for (const std::string& run : request->runs()) RETURN_IF_ERROR(CheckScope(run, "runs"));
      ASSIGN_OR_RETURN(Comparison comparison,
                       context_.runs.Compare(
                           {.project = request->parent(),
                            .runs = {request->runs().begin(), request->runs().end()},
                            .baseline = request->baseline(),
                            .candidate = request->candidate(),
                            .level = request->level() == 0 ? kDefaultLevel : request->level()}));
      *response = ToProto(comparison);
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* GetComparison(grpc::CallbackServerContext* call,
                                          const v1::GetComparisonRequest* request,
                                          v1::Comparison* response) override {
    return handler_.Unary(call, "GetComparison", [=, this](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(request->name(), "projects/*/comparisons/*").status());
      ASSIGN_OR_RETURN(Comparison comparison, context_.runs.GetComparison(request->name()));
      *response = ToProto(comparison);
      return absl::OkStatus();
    });
  }

 private:
  grpc::ServerUnaryReactor* Verb(grpc::CallbackServerContext* call, const char* method,
                                 const std::string& name, v1::Run* response,
                                 std::function<absl::StatusOr<Run>(const std::string&)> verb) {
    return handler_.Unary(call, method, [=](const rpc::Call&) -> absl::Status {
      RETURN_IF_ERROR(ParseScoped(name, kRunPattern).status());
      ASSIGN_OR_RETURN(Run run, verb(name));
      *response = ToProto(run);
      return absl::OkStatus();
    });
  }

  static std::optional<std::string> RunField(const Document& document, const std::string& field) {
    auto run = FromDocument<Run>(document);
    if (!run.ok()) return std::nullopt;
    if (field == "suite_version") return run->suite_version;
    if (field == "systems.digest") {
      std::string all;
      for (const System& system : run->systems)
        absl::StrAppend(&all, all.empty() ? "" : ",", system.digest);
      return all;
    }
    return CommonField(document, run->labels, field);
  }

  static std::optional<std::string> AnswerField(const v1::Answer& answer,
                                                const std::string& field) {
    if (field == "system_digest") return answer.system_digest();
    if (field == "row_digest") return answer.row_digest();
    if (field == "repeat") return absl::StrCat(answer.repeat());
    if (field == "error")
      return answer.error().empty() ? std::nullopt : std::optional<std::string>(answer.error());
    auto score = answer.scores().find(field.substr(std::string_view("scores.").size()));
    if (score == answer.scores().end()) return std::nullopt;
    return absl::StrCat(score->second);
  }

  absl::Status FillAnswers(const v1::ListAnswersRequest& request,
                           v1::ListAnswersResponse* response) {
    RETURN_IF_ERROR(ParseScoped(request.parent(), kRunPattern, "parent").status());
    ASSIGN_OR_RETURN(Run run, context_.runs.Get(request.parent()));
    ASSIGN_OR_RETURN(int size, list::PageSize(request.page_size()));
    ASSIGN_OR_RETURN(list::Filter filter,
                     list::ParseFilter(request.filter(), {"system_digest", "row_digest", "repeat",
                                                          "error", "scores.*"}));
    std::string identity = absl::StrCat("answers|", request.parent(), "|", request.filter());
    ASSIGN_OR_RETURN(std::string position, list::ParsePageToken(request.page_token(), identity));
    std::optional<AnswerKey> after;
    if (!position.empty()) {
      std::vector<std::string> parts = absl::StrSplit(position, ' ');
      after.emplace();
      if (parts.size() != 3 || !absl::SimpleAtoi(parts[2], &after->repeat))
        return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
                     "page_token is damaged");
      after->row_digest = parts[0];
      after->system_digest = parts[1];
    }
    ASSIGN_OR_RETURN(Suite suite, context_.suites.Get(run.suite_version));
    ASSIGN_OR_RETURN(Scorer scorer, Scorer::Create(suite));
    ASSIGN_OR_RETURN(std::vector<SuiteRow> rows, context_.suites.Rows(suite));
    std::unordered_map<std::string, const SuiteRow*> by_digest;
    for (const SuiteRow& row : rows) by_digest[row.row_digest] = &row;
    std::vector<std::string> systems;
    for (const System& system : run.systems) systems.push_back(system.digest);
    while (true) {
      ASSIGN_OR_RETURN(
          std::vector<evaluation::Answer> answers,
          context_.store.ListAnswers(run.suite_digest, systems, run.repeats, after, size));
      for (const evaluation::Answer& answer : answers) {
        after = {answer.row_digest, answer.system_digest, answer.repeat};
        const SuiteRow& row = *by_digest.at(answer.row_digest);
        v1::Answer proto = ToProto(run, row, scorer.Score(row, answer), suite.graders);
        if (!list::Matches(filter,
                           [&](const std::string& field) { return AnswerField(proto, field); }))
          continue;
        *response->add_answers() = std::move(proto);
        if (response->answers_size() < size) continue;
        response->set_next_page_token(list::MakePageToken(
            absl::StrCat(after->row_digest, " ", after->system_digest, " ", after->repeat),
            identity));
        return absl::OkStatus();
      }
      if (answers.size() < static_cast<size_t>(size)) return absl::OkStatus();
    }
  }

  ServiceContext context_;
  RunWatcher& watcher_;
  rpc::Handler handler_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewEvaluationService(const ServiceContext& context,
                                                    RunWatcher& watcher) {
  return std::make_unique<EvaluationServiceImpl>(context, watcher);
}

}  // namespace crossover::evaluation
