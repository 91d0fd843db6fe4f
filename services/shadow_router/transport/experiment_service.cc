#include "services/shadow_router/transport/experiment_service.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/transport/convert.h"
#include "services/shadow_router/transport/convert_util.h"
#include "services/shadow_router/transport/masks.h"
#include "services/shadow_router/transport/names.h"

namespace crossover::router {
namespace {

constexpr char kPattern[] = "projects/*/experiments/*";

const std::set<std::string>& ChangeableInDraft() {
  static const auto* const fields = new std::set<std::string>{"labels",
                                                              "route",
                                                              "candidate",
                                                              "quality_mode",
                                                              "grade_sources",
                                                              "margin",
                                                              "alpha",
                                                              "double_sample_share",
                                                              "shadow_share",
                                                              "budgets",
                                                              "steps",
                                                              "gates",
                                                              "decision_interval",
                                                              "calibration",
                                                              "shadow",
                                                              "reverse_shadow_duration",
                                                              "evaluation",
                                                              "comparators"};
  return *fields;
}

const std::set<std::string>& ChangeableLater() {
  static const auto* const fields = new std::set<std::string>{"labels", "budgets", "shadow_share"};
  return *fields;
}

// Settings from the request, everything that the router itself keeps from what is stored.
absl::StatusOr<Experiment> Merge(const Experiment& stored, const v1::Experiment& merged) {
  ASSIGN_OR_RETURN(Experiment experiment, FromProto(merged));
  Experiment result = stored;
  result.route = experiment.route;
  result.candidate = experiment.candidate;
  result.quality_mode = experiment.quality_mode;
  result.grade_sources = experiment.grade_sources;
  result.comparators = experiment.comparators;
  result.margin = experiment.margin;
  result.alpha = experiment.alpha;
  result.shadow_share = experiment.shadow_share;
  result.double_sample_share = experiment.double_sample_share;
  result.budgets = experiment.budgets;
  result.steps = experiment.steps;
  result.gates = experiment.gates;
  result.decision_interval = experiment.decision_interval;
  experiment.minima.shadow_coverage = stored.minima.shadow_coverage;
  result.minima = experiment.minima;
  result.evaluation = experiment.evaluation;
  result.labels = experiment.labels;
  return result;
}

// A key speaks for itself; only callers without one may say who they are.
std::string ActorOf(const rpc::Principal& principal, const std::string& by) {
  const bool has_key = principal.name.find('/') != std::string::npos;
  return has_key || by.empty() ? principal.name : by;
}

// The number of a transition that a resume token stands for.
absl::StatusOr<int64_t> AfterOf(const Experiment& experiment, const std::string& token) {
  if (token.empty()) return ExperimentWatchers::kFromNow;
  int64_t after = 0;
  if (absl::SimpleAtoi(token, &after) && after >= 0 && after <= experiment.transitions)
    return after;
  return Error(
      absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED",
      absl::StrCat("'", token, "' is no token of ", experiment.name, "; watch again without one"));
}

}  // namespace

absl::StatusOr<v1::Experiment> ExperimentService::Snapshot(const std::string& name) {
  ASSIGN_OR_RETURN(const Report report, deps_.control.Explain(name));
  v1::Experiment proto = ToProto(report);
  if (report.eta) SetTime(deps_.clock.Now() + *report.eta, proto.mutable_eta());
  return proto;
}

grpc::ServerUnaryReactor* ExperimentService::CreateExperiment(
    grpc::CallbackServerContext* context, const v1::CreateExperimentRequest* request,
    v1::Experiment* response) {
  return deps_.handler.Unary(
      context, "CreateExperiment", [=, this](const rpc::Call& call) -> absl::Status {
        RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
        RETURN_IF_ERROR(CheckRequestId(request->request_id()));
        ASSIGN_OR_RETURN(Experiment experiment, FromProto(request->experiment()));
        RETURN_IF_ERROR(CheckOwn(experiment.route));
        RETURN_IF_ERROR(CheckOwn(experiment.evaluation));
        experiment.name = absl::StrCat(request->parent(), "/experiments/", deps_.ids.NextId());
        ASSIGN_OR_RETURN(const Route route, deps_.store.GetRoute(experiment.route));
        experiment.baseline = route.primary;
        RETURN_IF_ERROR(Validate(experiment, route));
        NoteLoweredMinima("set at creation", call.principal().name, deps_.clock.Now(), experiment);
        if (request->validate_only()) {
          *response = ToProto(experiment);
          return absl::OkStatus();
        }
        // The time of a note is not part of what the caller asked for: a repeat must be the same
        // request.
        for (Override& note : experiment.overrides) note.time = absl::UnixEpoch();
        ASSIGN_OR_RETURN(
            const Experiment made,
            deps_.store.CreateExperiment(experiment, request->request_id(), deps_.clock.Now()));
        *response = ToProto(made);
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* ExperimentService::GetExperiment(grpc::CallbackServerContext* context,
                                                           const v1::GetExperimentRequest* request,
                                                           v1::Experiment* response) {
  return deps_.handler.Unary(context, "GetExperiment", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->name(), kPattern).status());
    ASSIGN_OR_RETURN(*response, Snapshot(request->name()));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ExperimentService::ListExperiments(
    grpc::CallbackServerContext* context, const v1::ListExperimentsRequest* request,
    v1::ListExperimentsResponse* response) {
  return deps_.handler.Unary(
      context, "ListExperiments", [=, this](const rpc::Call&) -> absl::Status {
        RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
        ASSIGN_OR_RETURN(const list::Filter filter,
                         list::ParseFilter(request->filter(), {"route", "state", "labels.*"}));
        const std::string query =
            absl::StrCat("experiments ", request->parent(), " ", request->filter());
        ASSIGN_OR_RETURN(const int size, list::PageSize(request->page_size()));
        ASSIGN_OR_RETURN(const std::string after,
                         list::ParsePageToken(request->page_token(), query));
        // The store knows routes; the other conditions thin out its pages, which may therefore be
        // shorter than asked.
        const std::string route = list::EqualTo(filter, "route").value_or("");
        ASSIGN_OR_RETURN(
            const auto listed,
            deps_.store.ListExperiments(request->parent(), route, {.size = size, .token = after}));
        for (const Experiment& experiment : listed.items) {
          const bool matches =
              list::Matches(filter, [&](const std::string& field) -> std::optional<std::string> {
                if (field == "route") return experiment.route;
                if (field == "state") return std::string(ToString(experiment.state));
                const auto label = experiment.labels.find(field.substr(field.find('.') + 1));
                return label == experiment.labels.end() ? std::nullopt
                                                        : std::optional<std::string>(label->second);
              });
          if (matches) *response->add_experiments() = ToProto(experiment);
        }
        if (!listed.next_token.empty())
          response->set_next_page_token(list::MakePageToken(listed.next_token, query));
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* ExperimentService::UpdateExperiment(
    grpc::CallbackServerContext* context, const v1::UpdateExperimentRequest* request,
    v1::Experiment* response) {
  return deps_.handler.Unary(
      context, "UpdateExperiment", [=, this](const rpc::Call& call) -> absl::Status {
        RETURN_IF_ERROR(
            ParseScoped(request->experiment().name(), kPattern, "experiment.name").status());
        ASSIGN_OR_RETURN(const Experiment stored,
                         deps_.store.GetExperiment(request->experiment().name()));
        const bool draft = stored.state == ExperimentState::kDraft;
        v1::Experiment merged = ToProto(stored);
        RETURN_IF_ERROR(ApplyMask(request->experiment(), request->update_mask(),
                                  draft ? ChangeableInDraft() : ChangeableLater(), merged));
        ASSIGN_OR_RETURN(Experiment experiment, Merge(stored, merged));
        experiment.etag =
            request->experiment().etag().empty() ? stored.etag : request->experiment().etag();
        RETURN_IF_ERROR(CheckOwn(experiment.route));
        RETURN_IF_ERROR(CheckOwn(experiment.evaluation));
        ASSIGN_OR_RETURN(const Route route, deps_.store.GetRoute(experiment.route));
        if (draft) {
          experiment.baseline = route.primary;
          experiment.overrides.clear();
          NoteLoweredMinima("set by an update", call.principal().name, deps_.clock.Now(),
                            experiment);
        }
        RETURN_IF_ERROR(Validate(experiment, route));
        ASSIGN_OR_RETURN(const Experiment updated,
                         deps_.store.UpdateExperiment(experiment, deps_.clock.Now()));
        RETURN_IF_ERROR(deps_.control.Reload(/*force=*/true));
        *response = ToProto(updated);
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* ExperimentService::DeleteExperiment(
    grpc::CallbackServerContext* context, const v1::DeleteExperimentRequest* request,
    google::protobuf::Empty*) {
  return deps_.handler.Unary(
      context, "DeleteExperiment", [=, this](const rpc::Call&) -> absl::Status {
        RETURN_IF_ERROR(ParseScoped(request->name(), kPattern).status());
        return deps_.store.DeleteExperiment(request->name(), request->etag());
      });
}

grpc::ServerUnaryReactor* ExperimentService::RunVerb(
    grpc::CallbackServerContext* context, const char* method, Verb verb, const std::string& name,
    const std::string& reason, const std::string& by, v1::Experiment* response) {
  return deps_.handler.Unary(context, method, [=, this](const rpc::Call& call) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(name, kPattern).status());
    RETURN_IF_ERROR(deps_.control.Do(name, verb, ActorOf(call.principal(), by), reason).status());
    ASSIGN_OR_RETURN(*response, Snapshot(name));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ExperimentService::StartExperiment(
    grpc::CallbackServerContext* context, const v1::StartExperimentRequest* request,
    v1::Experiment* response) {
  return RunVerb(context, "StartExperiment", Verb::kStart, request->name(),
                 request->override_reason(), "", response);
}

grpc::ServerUnaryReactor* ExperimentService::AdvanceExperiment(
    grpc::CallbackServerContext* context, const v1::AdvanceExperimentRequest* request,
    v1::Experiment* response) {
  return RunVerb(context, "AdvanceExperiment", Verb::kAdvance, request->name(), request->reason(),
                 request->by(), response);
}

grpc::ServerUnaryReactor* ExperimentService::PauseExperiment(
    grpc::CallbackServerContext* context, const v1::PauseExperimentRequest* request,
    v1::Experiment* response) {
  return RunVerb(context, "PauseExperiment", Verb::kPause, request->name(), request->reason(), "",
                 response);
}

grpc::ServerUnaryReactor* ExperimentService::ResumeExperiment(
    grpc::CallbackServerContext* context, const v1::ResumeExperimentRequest* request,
    v1::Experiment* response) {
  return RunVerb(context, "ResumeExperiment", Verb::kResume, request->name(), "", "", response);
}

grpc::ServerUnaryReactor* ExperimentService::RollbackExperiment(
    grpc::CallbackServerContext* context, const v1::RollbackExperimentRequest* request,
    v1::Experiment* response) {
  return RunVerb(context, "RollbackExperiment", Verb::kRollback, request->name(), request->reason(),
                 request->by(), response);
}

grpc::ServerUnaryReactor* ExperimentService::AbortExperiment(
    grpc::CallbackServerContext* context, const v1::AbortExperimentRequest* request,
    v1::Experiment* response) {
  return RunVerb(context, "AbortExperiment", Verb::kAbort, request->name(), request->reason(), "",
                 response);
}

grpc::ServerUnaryReactor* ExperimentService::ExplainExperiment(
    grpc::CallbackServerContext* context, const v1::ExplainExperimentRequest* request,
    v1::ExplainExperimentResponse* response) {
  return deps_.handler.Unary(
      context, "ExplainExperiment", [=, this](const rpc::Call&) -> absl::Status {
        RETURN_IF_ERROR(ParseScoped(request->name(), kPattern).status());
        ASSIGN_OR_RETURN(const Report report, deps_.control.Explain(request->name()));
        *response->mutable_experiment() = ToProto(report);
        if (report.eta)
          SetTime(deps_.clock.Now() + *report.eta, response->mutable_experiment()->mutable_eta());
        response->set_summary(report.words);
        AddConditions(report, *response->mutable_conditions());
        for (const Condition& condition : report.conditions) {
          if (!condition.met) {
            response->add_next_steps(
                absl::StrCat("wait for ", condition.name, " (", condition.words,
                             "), or advance with a reason, which is recorded"));
          }
        }
        ASSIGN_OR_RETURN(const auto transitions, deps_.store.ListTransitions(request->name()));
        for (const Transition& transition : transitions)
          *response->add_transitions() = ToProto(transition);
        return absl::OkStatus();
      });
}

grpc::ServerWriteReactor<v1::WatchExperimentResponse>* ExperimentService::WatchExperiment(
    grpc::CallbackServerContext* context, const v1::WatchExperimentRequest* request) {
  const std::string& name = request->name();
  const std::string& token = request->resume_token();
  return deps_.handler.ServerStream<v1::WatchExperimentResponse>(
      context, "WatchExperiment",
      [this, name, token](const rpc::Call&, ExperimentWatchers::WatchStream stream) {
        const auto after = [&]() -> absl::StatusOr<int64_t> {
          RETURN_IF_ERROR(ParseScoped(name, kPattern).status());
          ASSIGN_OR_RETURN(const Experiment experiment, deps_.store.GetExperiment(name));
          return AfterOf(experiment, token);
        }();
        if (!after.ok()) return stream.Finish(after.status());
        deps_.watchers.Watch(name, *after, std::move(stream));
      });
}

grpc::ServerUnaryReactor* ExperimentService::ListTransitions(
    grpc::CallbackServerContext* context, const v1::ListTransitionsRequest* request,
    v1::ListTransitionsResponse* response) {
  return deps_.handler.Unary(
      context, "ListTransitions", [=, this](const rpc::Call&) -> absl::Status {
        RETURN_IF_ERROR(ParseScoped(request->parent(), kPattern, "parent").status());
        RETURN_IF_ERROR(deps_.store.GetExperiment(request->parent()).status());
        // A handful per experiment: one page always holds them.
        ASSIGN_OR_RETURN(const auto transitions, deps_.store.ListTransitions(request->parent()));
        for (const Transition& transition : transitions)
          *response->add_transitions() = ToProto(transition);
        return absl::OkStatus();
      });
}

}  // namespace crossover::router
