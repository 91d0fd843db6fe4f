// crossover experiment: a candidate's way into a route.
#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/client/watch.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/progress.h"
#include "cli/output/table.h"
#include "cli/output/words.h"
#include "common/status/error.h"
#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"
#include "crossover/router/v1/experiment_service.grpc.pb.h"
#include "crossover/router/v1/route_service.grpc.pb.h"
#include "crossover/router/v1/traffic_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace evaluation = ::crossover::evaluation::v1;
namespace router = ::crossover::router::v1;
using router::Experiment;
using ExperimentStub = router::ExperimentService::Stub;

struct ExperimentOptions {
  std::string name;  // an experiment's id, or a route's slug
  std::string route;
  std::string candidate;
  std::string mode;
  std::string evaluation;
  std::string override_reason;
  std::string file;
  std::string reason;
  std::string by;
  std::vector<std::string> settings;
  bool draft = false;
};

std::string StateText(const Experiment& experiment) {
  std::string text = EnumWord(Experiment::State_Name(experiment.state()));
  if (experiment.state() == Experiment::CANARY)
    absl::StrAppend(&text, " step ", experiment.step() + 1, ", ", Share(experiment.weight()));
  return text;
}

// Why pairs do not count, and what can be done about it.
constexpr std::pair<const char*, const char*> kUncounted[] = {
    {"TRUNCATED",
     "the primary's answer was cut at max_tokens, so that nothing can be held against it. Raise "
     "max_tokens of the route's variants, or of the requests"},
    {"CANCELLED", "the client went away before the answer was whole"},
    {"FILTERED", "a content filter spoke instead of the primary"},
    {"FALLBACK",
     "a fallback answered because the primary failed; `crossover status` shows whether its "
     "upstream is well"},
    {"CACHED", "a cache answered"},
    {"TOOL_SIDE_EFFECT",
     "the request goes on from the results of tools, which another model would not have called. "
     "Such requests are not compared"},
};

std::string PairsText(const Experiment& experiment) {
  std::string text = absl::StrCat(Count(experiment.valid_pairs()), " valid, ",
                                  Count(experiment.graded_pairs()), " graded");
  if (experiment.calibration_pairs() > 0) {
    absl::StrAppend(&text, "; ", Count(experiment.calibration_pairs()),
                    " of the primary with itself, to measure its noise");
  }
  return text;
}

std::string DifferenceText(const router::Verdict& verdict) {
  const bool is_share = verdict.metric() == "quality" || verdict.metric() == "agreement" ||
                        verdict.metric().find("rate") != std::string::npos;
  return is_share ? PointsInterval(verdict.difference()) : NumberInterval(verdict.difference());
}

void PrintVerdicts(Context& context, const Experiment& experiment) {
  Table table({{"METRIC"},
               {"PRIMARY"},
               {"CANDIDATE"},
               {"DIFFERENCE"},
               {"SAYS"},
               {"NEEDS", Align::kRight},
               {"WHY", Align::kLeft, true}});
  for (const auto& verdict : experiment.verdicts()) {
    const Style style = verdict.outcome() == router::Verdict::PROMOTE     ? Style::kGood
                        : verdict.outcome() == router::Verdict::ROLL_BACK ? Style::kBad
                                                                          : Style::kPlain;
    std::string says = verdict.outcome() == router::Verdict::OUTCOME_UNSPECIFIED
                           ? ""
                           : EnumWord(router::Verdict::Outcome_Name(verdict.outcome()));
    if (!verdict.decides()) says += says.empty() ? "shown only" : " (shown only)";
    table.AddRow({verdict.metric(), verdict.has_primary() ? Number(verdict.primary().point()) : "",
                  verdict.has_candidate() ? Number(verdict.candidate().point()) : "",
                  DifferenceText(verdict), Styled(context.terminal(), style, says),
                  verdict.needed() > 0 ? Count(verdict.needed()) : "", verdict.explanation()});
  }
  if (!table.empty()) context.terminal().out << "\n" << table.Render(context.terminal());
}

void PrintExperiment(Context& context, const Experiment& experiment) {
  Details details;
  details.Add("experiment", experiment.name());
  details.Add("route", experiment.route());
  details.Add("candidate",
              absl::StrCat(experiment.candidate(),
                           experiment.primary().empty() ? "" : " against " + experiment.primary()));
  details.Add("state", StateText(experiment));
  details.Add("since", Ago(experiment.state_time(), context.Now()));
  details.Add("why", PlainWords(experiment.state_reason()));
  details.Add("mode", EnumWord(Experiment::QualityMode_Name(experiment.quality_mode())));
  details.Add("pairs", PairsText(experiment));
  for (const auto& [validity, about] : kUncounted) {
    const auto pairs = experiment.uncounted_pairs().find(validity);
    if (pairs == experiment.uncounted_pairs().end()) continue;
    details.Add("not counted",
                absl::StrCat(Count(pairs->second), " ", EnumWord(validity), ": ", about));
  }
  if (experiment.comparison() > 1)
    details.Add("comparison",
                absl::StrCat("number ", experiment.comparison(), ": provenance changed"));
  details.Add("next move", Ago(experiment.eta(), context.Now()));
  for (const std::string& override_text : experiment.overrides())
    details.Add("overridden", override_text);
  context.terminal().out << details.Render(context.terminal());
  PrintVerdicts(context, experiment);
}

void PrintLedger(Context& context, const Experiment& experiment) {
  auto stub = router::TrafficService::NewStub(context.Channel());
  router::GetLedgerRequest request;
  request.set_name(experiment.name());
  const auto ledger = context.Call(stub, &router::TrafficService::Stub::GetLedger, request, true);
  if (!ledger.ok()) {
    context.terminal().err << "the ledger cannot be read: " << ledger.status().message() << "\n";
    return;
  }
  const router::LedgerEntry& total = ledger->total();
  if (total.eligible() == 0) return;
  const auto sum = [](const google::protobuf::Map<std::string, int64_t>& counts) {
    int64_t all = 0;
    for (const auto& [reason, count] : counts) all += count;
    return all;
  };
  context.terminal().out << absl::StrCat(
      "\nmirror: ", Count(total.eligible()), " requests, ", Count(total.sampled()),
      " sampled = ", Count(total.paired()), " paired + ", Count(sum(total.failed())), " failed + ",
      Count(sum(total.dropped())), " dropped + ", Count(total.in_flight()), " on their way",
      ledger->balanced() ? "" : "  (DOES NOT ADD UP)", "\n");
}

// An experiment by its id, or the active (else newest) one of a route.
absl::StatusOr<std::string> FindExperiment(Context& context, const std::string& text) {
  if (text.find("/experiments/") != std::string::npos) return text;
  auto routes = router::RouteService::NewStub(context.Channel());
  router::GetRouteRequest get;
  ASSIGN_OR_RETURN(*get.mutable_name(), FullName(context, "routes", text));
  const auto route = context.Call(routes, &router::RouteService::Stub::GetRoute, get, true);
  if (!route.ok() && route.status().code() != absl::StatusCode::kNotFound &&
      route.status().code() != absl::StatusCode::kInvalidArgument) {
    return route.status();
  }
  if (!route.ok()) return FullName(context, "experiments", text);
  if (!route->experiment().empty()) return route->experiment();
  auto stub = router::ExperimentService::NewStub(context.Channel());
  router::ListExperimentsRequest list;
  list.set_parent(context.Project());
  list.set_filter(absl::StrCat("route = \"", route->name(), "\""));
  ASSIGN_OR_RETURN(const auto found,
                   context.ListAll(stub, &ExperimentStub::ListExperiments, list,
                                   [](auto& page) { return page.mutable_experiments(); }));
  // In the order of creation. What was never started says little of the route.
  const auto& all = found.experiments();
  const auto started = std::find_if(all.rbegin(), all.rend(), [](const Experiment& experiment) {
    return experiment.has_start_time() || experiment.state() != Experiment::ABORTED;
  });
  if (started != all.rend()) return started->name();
  if (!all.empty()) return all.rbegin()->name();
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("route ", text, " has no experiment"));
}

// The name of the run that speaks for a candidate.
absl::StatusOr<std::string> EvaluationRun(Context& context, const std::string& text) {
  evaluation::GetRunRequest get;
  ASSIGN_OR_RETURN(*get.mutable_name(), FullName(context, "runs", text));
  auto stub = evaluation::EvaluationService::NewStub(context.Channel());
  const auto run =
      context.Call(stub, &evaluation::EvaluationService::Stub::GetRun, get, /*idempotent=*/true);
  const absl::StatusCode code = run.status().code();
  if (code == absl::StatusCode::kNotFound || code == absl::StatusCode::kInvalidArgument) {
    return Error(code, DetailOf(run.status()).reason,
                 absl::StrCat("--evaluation ", text,
                              ": there is no such run; `crossover evaluate "
                              "--list` shows them"));
  }
  if (run.ok() && run->state() != evaluation::Run::SUCCEEDED) {
    return Error(absl::StatusCode::kFailedPrecondition, "CANDIDATE_NOT_EVALUATED",
                 absl::StrCat("--evaluation ", text, ": the run is ",
                              EnumWord(evaluation::Run::State_Name(run->state()))));
  }
  return get.name();
}

// An experiment whose start was refused leaves no draft behind, but one that says so. Returns why
// it was refused.
absl::Status Withdraw(Context& context, const Experiment& draft, const absl::Status& why) {
  auto stub = router::ExperimentService::NewStub(context.Channel());
  router::AbortExperimentRequest abort;
  abort.set_name(draft.name());
  abort.set_reason(absl::StrCat("its start was refused: ", why.message()));
  const absl::Status aborted = context.Call(stub, &ExperimentStub::AbortExperiment, abort).status();
  if (!aborted.ok()) {
    context.terminal().err << "the draft " << draft.name() << " stays: " << aborted.message()
                           << "\n";
  }
  return why;
}

absl::Status StartExperiment(Context& context, const ExperimentOptions& options) {
  auto stub = router::ExperimentService::NewStub(context.Channel());
  router::CreateExperimentRequest create;
  create.set_parent(context.Project());
  create.set_request_id(context.RequestId());
  Experiment& experiment = *create.mutable_experiment();
  if (!options.file.empty()) RETURN_IF_ERROR(ReadSpecFile(options.file, &experiment));
  RETURN_IF_ERROR(ApplyAssignments(options.settings, &experiment));
  if (!options.mode.empty())
    RETURN_IF_ERROR(ReadSpecText("quality_mode: " + options.mode, "--mode", &experiment));
  ASSIGN_OR_RETURN(*experiment.mutable_route(), FullName(context, "routes", options.route));
  if (!options.candidate.empty()) experiment.set_candidate(options.candidate);
  if (experiment.candidate().empty())
    return UsageError("which variant is the candidate? give --candidate");
  if (!options.evaluation.empty()) {
    ASSIGN_OR_RETURN(*experiment.mutable_evaluation(), EvaluationRun(context, options.evaluation));
  }
  ASSIGN_OR_RETURN(Experiment created,
                   context.Call(stub, &ExperimentStub::CreateExperiment, create, true));
  if (!options.draft) {
    router::StartExperimentRequest start;
    start.set_name(created.name());
    start.set_override_reason(options.override_reason);
    auto started = context.Call(stub, &ExperimentStub::StartExperiment, start);
    if (!started.ok()) return Withdraw(context, created, started.status());
    created = *std::move(started);
  }
  if (!context.PrintedJson(created)) PrintExperiment(context, created);
  return absl::OkStatus();
}

absl::Status ListThem(Context& context) {
  auto stub = router::ExperimentService::NewStub(context.Channel());
  router::ListExperimentsRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &ExperimentStub::ListExperiments, request,
                                   [](auto& page) { return page.mutable_experiments(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"EXPERIMENT"}, {"ROUTE"}, {"CANDIDATE"}, {"STATE"}, {"WHY", Align::kLeft, true}});
  for (const Experiment& experiment : list.experiments()) {
    table.AddRow({std::string(IdOf(experiment.name())), ShortName(experiment.route()),
                  experiment.candidate(), StateText(experiment),
                  PlainWords(experiment.state_reason())});
  }
  context.terminal().out << (table.empty()
                                 ? "no experiments yet; `crossover experiment start` makes one\n"
                                 : table.Render(context.terminal()));
  return absl::OkStatus();
}

absl::Status Status(Context& context, const ExperimentOptions& options) {
  if (options.name.empty()) return ListThem(context);
  auto stub = router::ExperimentService::NewStub(context.Channel());
  router::GetExperimentRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), FindExperiment(context, options.name));
  ASSIGN_OR_RETURN(const Experiment experiment,
                   context.Call(stub, &ExperimentStub::GetExperiment, request, true));
  if (context.PrintedJson(experiment)) return absl::OkStatus();
  PrintExperiment(context, experiment);
  PrintLedger(context, experiment);
  return absl::OkStatus();
}

// Advance, pause, resume, rollback, abort.
template <typename Request>
absl::Status ExperimentVerb(Context& context, const ExperimentOptions& options,
                            grpc::Status (ExperimentStub::*method)(grpc::ClientContext*,
                                                                   const Request&, Experiment*)) {
  auto stub = router::ExperimentService::NewStub(context.Channel());
  Request request;
  ASSIGN_OR_RETURN(*request.mutable_name(), FindExperiment(context, options.name));
  if constexpr (requires { request.set_reason(options.reason); })
    request.set_reason(options.reason);
  if constexpr (requires { request.set_by(options.by); }) request.set_by(options.by);
  ASSIGN_OR_RETURN(const Experiment experiment, context.Call(stub, method, request));
  if (!context.PrintedJson(experiment)) PrintExperiment(context, experiment);
  return absl::OkStatus();
}

absl::Status DeleteDraft(Context& context, const ExperimentOptions& options) {
  auto stub = router::ExperimentService::NewStub(context.Channel());
  router::DeleteExperimentRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), FindExperiment(context, options.name));
  ASSIGN_OR_RETURN(const google::protobuf::Empty done,
                   context.Call(stub, &ExperimentStub::DeleteExperiment, request));
  if (!context.PrintedJson(done)) context.terminal().out << "deleted " << request.name() << "\n";
  return absl::OkStatus();
}

absl::Status Explain(Context& context, const ExperimentOptions& options) {
  auto stub = router::ExperimentService::NewStub(context.Channel());
  router::ExplainExperimentRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), FindExperiment(context, options.name));
  ASSIGN_OR_RETURN(const auto answer,
                   context.Call(stub, &ExperimentStub::ExplainExperiment, request, true));
  if (context.PrintedJson(answer)) return absl::OkStatus();
  std::ostream& out = context.terminal().out;
  PrintExperiment(context, answer.experiment());
  if (!answer.summary().empty()) out << "\n" << answer.summary() << "\n";
  Table conditions({{"FOR THE NEXT MOVE"},
                    {"STATUS"},
                    {"VALUE", Align::kLeft, true},
                    {"THRESHOLD"},
                    {"WHY", Align::kLeft, true}});
  for (const auto& evidence : answer.conditions()) {
    conditions.AddRow({evidence.condition(),
                       EnumWord(type::v1::Evidence::Status_Name(evidence.status())),
                       evidence.value(), evidence.threshold(), evidence.explanation()});
  }
  if (!conditions.empty()) out << "\n" << conditions.Render(context.terminal());
  Table moves(
      {{"#", Align::kRight}, {"TIME"}, {"FROM"}, {"TO"}, {"BY"}, {"WHY", Align::kLeft, true}});
  for (const auto& move : answer.transitions()) {
    moves.AddRow({absl::StrCat(move.sequence()), Moment(move.time()),
                  EnumWord(Experiment::State_Name(move.from_state())),
                  EnumWord(Experiment::State_Name(move.to_state())), move.actor(), move.words()});
  }
  if (!moves.empty()) out << "\n" << moves.Render(context.terminal());
  for (const std::string& step : answer.next_steps()) out << "\nnext: " << step;
  if (!answer.next_steps().empty()) out << "\n";
  return absl::OkStatus();
}

bool IsOver(Experiment::State state) {
  return state == Experiment::COMPLETED || state == Experiment::ROLLED_BACK ||
         state == Experiment::ABORTED;
}

absl::Status WatchExperiment(Context& context, const ExperimentOptions& options) {
  auto stub = router::ExperimentService::NewStub(context.Channel());
  router::WatchExperimentRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), FindExperiment(context, options.name));
  ProgressLine line(context.terminal(), context.world.clock);
  Experiment last;
  const absl::Status status = Watch<router::WatchExperimentResponse>(
      context,
      [&](grpc::ClientContext* call, const std::string& token) {
        request.set_resume_token(token);
        return stub->WatchExperiment(call, request);
      },
      [&](const router::WatchExperimentResponse& item) {
        if (context.globals.json) context.terminal().out << ToJson(item, true) << std::flush;
        if (item.has_event() && !context.globals.json)
          line.Note(Moment(item.event().time()) + "  " + item.event().message());
        if (!item.has_snapshot()) return Watching::kGoOn;
        last = item.snapshot();
        if (!context.globals.json) {
          line.Update(absl::StrCat(StateText(last), "  ", Count(last.valid_pairs()), " pairs, ",
                                   Count(last.graded_pairs()), " graded"));
        }
        return IsOver(last.state()) ? Watching::kStop : Watching::kGoOn;
      });
  line.Finish();
  if (HasReason(status, kInterrupted)) return absl::OkStatus();
  RETURN_IF_ERROR(status);
  if (!context.globals.json) PrintExperiment(context, last);
  return absl::OkStatus();
}

}  // namespace

void AddExperiment(CLI::App& app, Context& context) {
  auto options = std::make_shared<ExperimentOptions>();
  CLI::App* group =
      AddGroup(app, "experiment", "A candidate's way into a route: shadow, canary, promotion");
  CLI::App* start = AddCommand(*group, context, "start", "Put a variant of a route on its way",
                               "  crossover experiment start support --candidate tuned\n"
                               "  crossover experiment start support --candidate tuned --set "
                               "shadow.duration=2h --set shadow.pairs=300 --override 'demo'",
                               [&context, options] { return StartExperiment(context, *options); });
  start->add_option("route", options->route, "Slug of the route")->required();
  start->add_option("--candidate", options->candidate, "Variant that wants to become the primary");
  start->add_option("--mode", options->mode,
                    "improvement (graded loss decides) or equivalence (agreement decides)");
  start->add_option("--evaluation", options->evaluation, "Run that speaks for the candidate");
  start->add_option("--override", options->override_reason, "Why it begins without an evaluation");
  start->add_option("--file", options->file, "YAML file with the fields of Experiment")
      ->check(CLI::ExistingFile);
  AddSet(start, context, options->settings, Experiment::descriptor(),
         "FIELD=VALUE of Experiment; may be given again");
  start->add_flag("--draft", options->draft, "Create it only");

  const auto with_name = [&](const std::string& name, const std::string& about,
                             std::function<absl::Status()> run) {
    CLI::App* command = AddCommand(*group, context, name, about, "", std::move(run));
    command->add_option("experiment", options->name, "Id, or the route's slug")->required();
    return command;
  };
  const auto with_reason = [&](CLI::App* command, bool required) {
    command->add_option("--reason", options->reason, "Why; kept with the move")->required(required);
    command->add_option("--by", options->by, "Who")->envname("USER");
  };
  AddCommand(*group, context, "status", "Show an experiment, or list all",
             "  crossover experiment status support",
             [&context, options] { return Status(context, *options); })
      ->add_option("experiment", options->name, "Id, or the route's slug");
  with_name("explain", "Say where it is, why, and what is missing",
            [&context, options] { return Explain(context, *options); });
  with_name("watch", "Follow it until it ends",
            [&context, options] { return WatchExperiment(context, *options); });
  with_reason(with_name("advance", "Move on although a minimum or gate is not met",
                        [&context, options] {
                          return ExperimentVerb(context, *options,
                                                &ExperimentStub::AdvanceExperiment);
                        }),
              true);
  with_reason(with_name("rollback", "Give all requests back to the primary, at once",
                        [&context, options] {
                          return ExperimentVerb(context, *options,
                                                &ExperimentStub::RollbackExperiment);
                        }),
              true);
  with_reason(with_name("pause", "Hold everything where it is",
                        [&context, options] {
                          return ExperimentVerb(context, *options,
                                                &ExperimentStub::PauseExperiment);
                        }),
              false);
  with_name("resume", "Go on where it was paused", [&context, options] {
    return ExperimentVerb(context, *options, &ExperimentStub::ResumeExperiment);
  });
  with_reason(with_name("abort", "End it; the primary answers",
                        [&context, options] {
                          return ExperimentVerb(context, *options,
                                                &ExperimentStub::AbortExperiment);
                        }),
              false);
  with_name("delete", "Delete a draft; what was started is ended with abort",
            [&context, options] { return DeleteDraft(context, *options); });
}

}  // namespace crossover::cli
