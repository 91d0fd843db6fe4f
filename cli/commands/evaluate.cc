// crossover evaluate: asks systems on a suite and compares them.
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/client/system_argument.h"
#include "cli/client/watch.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/commands/run_view.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/json.h"
#include "cli/output/progress.h"
#include "cli/output/table.h"
#include "common/status/error.h"
#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace evaluation = ::crossover::evaluation::v1;
using evaluation::Run;
using EvaluateStub = evaluation::EvaluationService::Stub;

struct EvaluateOptions {
  std::string suite;
  std::vector<std::string> systems;
  std::string run;
  std::string cost_cap;
  std::vector<std::string> cutoffs;
  int repeats = 0;
  int slices = 5;
  int examples = 3;
  bool detach = false;
  bool estimate = false;
  bool list = false;
};

absl::StatusOr<evaluation::CreateRunRequest> BuildRunRequest(Context& context,
                                                             const EvaluateOptions& options) {
  evaluation::CreateRunRequest request;
  request.set_parent(context.Project());
  request.set_request_id(context.RequestId());
  request.set_validate_only(options.estimate);
  Run& run = *request.mutable_run();
  run.set_repeats(options.repeats);
  if (!options.cost_cap.empty())
    RETURN_IF_ERROR(ApplyAssignments({"cost_cap=" + options.cost_cap}, &run));
  ASSIGN_OR_RETURN(*run.mutable_suite_version(), SuiteVersionName(context, options.suite));
  for (const std::string& text : options.systems) {
    ASSIGN_OR_RETURN(*run.add_systems(), ReadSystem(context, text));
  }
  return request;
}

absl::StatusOr<Run> FollowEvaluationRun(Context& context, const Run& started) {
  auto stub = evaluation::EvaluationService::NewStub(context.Channel());
  evaluation::WatchRunRequest request;
  request.set_name(started.name());
  Run run = started;
  ProgressLine line(context.terminal(), context.world.clock);
  const absl::Status status = Watch<evaluation::WatchRunResponse>(
      context,
      [&](grpc::ClientContext* call, const std::string& token) {
        request.set_resume_token(token);
        return stub->WatchRun(call, request);
      },
      [&](const evaluation::WatchRunResponse& item) {
        if (!item.has_snapshot()) return Watching::kGoOn;
        run = item.snapshot();
        const double share = run.answers_total() > 0 ? static_cast<double>(run.answers_done()) /
                                                           static_cast<double>(run.answers_total())
                                                     : 0;
        line.Update(absl::StrCat(Bar(share, 24, context.terminal().err_is_terminal), " ",
                                 Count(run.answers_done()), "/", Count(run.answers_total()),
                                 " answers", run.has_eta() ? "  eta " + Length(run.eta()) : "",
                                 run.has_cost() && run.cost().units() + run.cost().nanos() > 0
                                     ? "  " + Amount(run.cost())
                                     : ""));
        return run.state() == Run::QUEUED || run.state() == Run::RUNNING ? Watching::kGoOn
                                                                         : Watching::kStop;
      });
  line.Finish();
  if (HasReason(status, kInterrupted)) {
    context.terminal().err << "Detached; the run goes on.\n  come back   crossover evaluate --run "
                           << IdOf(run.name()) << "\n";
  }
  if (!status.ok()) return status;
  evaluation::GetRunRequest get;
  get.set_name(run.name());
  return context.Call(stub, &EvaluateStub::GetRun, get, true);
}

void PrintResults(Context& context, const Run& run) {
  std::vector<Column> columns = {{"SYSTEM", Align::kLeft, true}};
  if (run.results_size() > 0) {
    for (const auto& grader : run.results(0).graders()) columns.push_back({grader.grader()});
  }
  for (const char* title :
       {"FORMAT", "CONSISTENCY", "P50", "P99", "PROMPT TOKENS", "COST A REQUEST"})
    columns.push_back({title, Align::kRight});
  Table table(columns);
  for (int i = 0; i < run.results_size(); ++i) {
    const evaluation::SystemResult& result = run.results(i);
    std::vector<std::string> cells = {SystemLabelOf(run, i)};
    for (const auto& grader : result.graders()) cells.push_back(ShareInterval(grader.score()));
    cells.resize(columns.size() - 6);
    cells.push_back(result.has_format_valid() ? Share(result.format_valid().point()) : "");
    cells.push_back(result.has_consistency() ? Share(result.consistency().point()) : "-");
    cells.push_back(
        result.latency().has_p50() ? Length(absl::Seconds(result.latency().p50().point())) : "");
    cells.push_back(
        result.latency().has_p99() ? Length(absl::Seconds(result.latency().p99().point())) : "");
    cells.push_back(Number(result.prompt_tokens()));
    cells.push_back(
        result.has_cost_per_request() ? Number(result.cost_per_request().point()) + " USD" : "");
    table.AddRow(cells);
  }
  context.terminal().out << table.Render(context.terminal());
}

void PrintSlices(Context& context, const Run& run, int most) {
  for (int i = 0; i < run.results_size() && most > 0; ++i) {
    Table table({{"WORST OF " + SystemLabelOf(run, i)}, {"SCORE"}, {"ROWS", Align::kRight}});
    for (const auto& grader : run.results(i).graders()) {
      for (const auto* parts : {&grader.fields(), &grader.slices()}) {
        for (int p = 0; p < parts->size() && p < most; ++p) {
          const auto& part = parts->Get(p);
          table.AddRow({absl::StrCat(grader.grader(), " ", part.name()),
                        ShareInterval(part.score()), Count(part.score().n())});
        }
      }
    }
    if (!table.empty()) context.terminal().out << "\n" << table.Render(context.terminal());
  }
}

std::string MetricText(const std::string& metric, const type::v1::Interval& value,
                       bool difference) {
  if (metric.rfind("latency", 0) == 0 || metric.rfind("ttft", 0) == 0)
    return SecondsInterval(value);
  if (metric.rfind("cost", 0) == 0 || metric.rfind("prompt_tokens", 0) == 0)
    return NumberInterval(value);
  return difference ? PointsInterval(value) : ShareInterval(value);
}

void PrintComparison(Context& context, const evaluation::Comparison& comparison,
                     const std::string& baseline, const std::string& candidate, int examples) {
  std::ostream& out = context.terminal().out;
  out << "\n" << candidate << " against " << baseline << ", paired:\n";
  Table table(
      {{"METRIC"}, {"BASELINE"}, {"CANDIDATE"}, {"DIFFERENCE"}, {"P (HOLM)", Align::kRight}, {""}});
  for (const auto& metric : comparison.metrics()) {
    table.AddRow({metric.metric(), MetricText(metric.metric(), metric.baseline(), false),
                  MetricText(metric.metric(), metric.candidate(), false),
                  MetricText(metric.metric(), metric.difference(), true),
                  PValueText(metric.adjusted_p_value()),
                  JudgementText(context.terminal(), metric)});
  }
  out << table.Render(context.terminal());
  Table worse({{"GOT WORSE", Align::kLeft, true},
               {"EXPECTED", Align::kLeft, true},
               {"BASELINE", Align::kLeft, true},
               {"CANDIDATE", Align::kLeft, true}});
  for (int i = 0; i < comparison.regressions_size() && i < examples; ++i) {
    const auto& flip = comparison.regressions(i);
    worse.AddRow({flip.input(), flip.expected(), flip.baseline_output(), flip.candidate_output()});
  }
  if (!worse.empty()) out << "\n" << worse.Render(context.terminal());
}

struct Cutoff {
  std::string grader;
  double least = 0;
};

// `exact>=0.6`
absl::StatusOr<Cutoff> ParseCutoff(const std::string& text) {
  const size_t at = text.find(">=");
  Cutoff cutoff;
  if (at == std::string::npos || !absl::SimpleAtod(text.substr(at + 2), &cutoff.least)) {
    return UsageError(absl::StrCat("'", text, "' is not GRADER>=SCORE, such as exact>=0.6"));
  }
  cutoff.grader = text.substr(0, at);
  return cutoff;
}

// Against the last system's result. CLI_OUTCOME when it is missed.
absl::Status CheckCutoff(const Run& run, const Cutoff& cutoff) {
  const std::string& name = cutoff.grader;
  const double least = cutoff.least;
  if (run.results().empty())
    return Error(absl::StatusCode::kFailedPrecondition, kOutcome, "the run has no results");
  for (const auto& grader : run.results(run.results_size() - 1).graders()) {
    if (grader.grader() != name) continue;
    if (grader.score().point() >= least) return absl::OkStatus();
    return Error(absl::StatusCode::kFailedPrecondition, kOutcome,
                 absl::StrCat("cutoff missed: ", name, " is ", ShareInterval(grader.score()),
                              ", wanted ", Share(least)));
  }
  return UsageError(absl::StrCat("the run has no grader '", name, "'"));
}

// The run as JSON, with `comparisons` of the first system with every other.
std::string RunJson(const Run& run, const std::vector<evaluation::Comparison>& comparisons) {
  auto json = nlohmann::ordered_json::parse(ToJson(run));
  json["comparisons"] = nlohmann::ordered_json::array();
  for (const evaluation::Comparison& comparison : comparisons)
    json["comparisons"].push_back(nlohmann::ordered_json::parse(ToJson(comparison)));
  return json.dump(1) + "\n";
}

absl::Status ShowRun(Context& context, const EvaluateOptions& options, const Run& run) {
  std::vector<evaluation::Comparison> comparisons;
  for (int i = 1; i < run.results_size(); ++i) {
    ASSIGN_OR_RETURN(comparisons.emplace_back(), CompareSystems(context, run, 0, i));
  }
  if (context.globals.json) {
    context.terminal().out << RunJson(run, comparisons);
    return absl::OkStatus();
  }
  context.terminal().out << run.name() << "\n\n";
  PrintResults(context, run);
  PrintSlices(context, run, options.slices);
  for (int i = 1; i < run.results_size(); ++i) {
    PrintComparison(context, comparisons[static_cast<size_t>(i - 1)], SystemLabelOf(run, 0),
                    SystemLabelOf(run, i), options.examples);
  }
  return absl::OkStatus();
}

absl::StatusOr<Run> StartOrGet(Context& context, const EvaluateOptions& options) {
  auto stub = evaluation::EvaluationService::NewStub(context.Channel());
  if (!options.run.empty()) {
    evaluation::GetRunRequest get;
    ASSIGN_OR_RETURN(*get.mutable_name(), FullName(context, "runs", options.run));
    return context.Call(stub, &EvaluateStub::GetRun, get, true);
  }
  if (options.suite.empty() || options.systems.empty())
    return UsageError("give a suite and at least one --system, or --run");
  ASSIGN_OR_RETURN(const auto request, BuildRunRequest(context, options));
  return context.Call(stub, &EvaluateStub::CreateRun, request, true);
}

// Runs, newest first.
absl::Status ListRuns(Context& context) {
  auto stub = evaluation::EvaluationService::NewStub(context.Channel());
  evaluation::ListRunsRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &EvaluateStub::ListRuns, request,
                                   [](auto& page) { return page.mutable_runs(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"RUN"},
               {"STATE"},
               {"SUITE"},
               {"SYSTEMS", Align::kLeft, true},
               {"ANSWERS", Align::kRight},
               {"CREATED"}});
  for (const Run& run : list.runs()) {
    std::string systems;
    for (const auto& system : run.systems())
      systems += (systems.empty() ? "" : ", ") + SystemLabel(system);
    table.AddRow({std::string(IdOf(run.name())), EnumWord(Run::State_Name(run.state())),
                  SuiteLabel(run.suite_version()), systems,
                  absl::StrCat(run.answers_done(), "/", run.answers_total()),
                  Ago(run.create_time(), context.Now())});
  }
  context.terminal().out << (table.empty() ? "no runs yet\n" : table.Render(context.terminal()));
  return absl::OkStatus();
}

absl::Status Evaluate(Context& context, const EvaluateOptions& options) {
  if (options.list) return ListRuns(context);
  std::vector<Cutoff> cutoffs;  // Read before a run is spent.
  for (const std::string& text : options.cutoffs) {
    ASSIGN_OR_RETURN(cutoffs.emplace_back(), ParseCutoff(text));
  }
  ASSIGN_OR_RETURN(Run run, StartOrGet(context, options));
  if (options.estimate || options.detach) {
    if (context.PrintedJson(run)) return absl::OkStatus();
    context.terminal().out << (options.estimate ? "would ask for " : run.name() + " asks for ")
                           << absl::StrCat(Count(run.answers_total()), " answers, ",
                                           Count(run.answers_reused()), " of them known\n");
    return absl::OkStatus();
  }
  if (run.state() == Run::QUEUED || run.state() == Run::RUNNING) {
    auto ended = FollowEvaluationRun(context, run);
    if (HasReason(ended.status(), kInterrupted)) return absl::OkStatus();
    RETURN_IF_ERROR(ended.status());
    run = *std::move(ended);
  }
  RETURN_IF_ERROR(ShowRun(context, options, run));
  if (run.state() != Run::SUCCEEDED) {
    return Error(absl::StatusCode::kFailedPrecondition, kOutcome,
                 absl::StrCat("the run is ", EnumWord(Run::State_Name(run.state())), ": ",
                              run.state_reason()));
  }
  for (const Cutoff& cutoff : cutoffs) RETURN_IF_ERROR(CheckCutoff(run, cutoff));
  return absl::OkStatus();
}

}  // namespace

void AddEvaluate(CLI::App& app, Context& context) {
  auto options = std::make_shared<EvaluateOptions>();
  CLI::App* command =
      AddCommand(app, context, "evaluate", "Ask systems on a suite and compare them, paired",
                 "  crossover evaluate support-test --system "
                 "prompt=support/main,model=smollm2-135m-instruct \\\n"
                 "      --system adapter=ft:smollm2-135m-instruct:default:support:06bq3f2a\n"
                 "  crossover evaluate support-test --system adapter=sha256:48c2d8… --cutoff "
                 "exact>=0.6      # exit code for CI\n"
                 "  crossover evaluate --run 06bq3f…\n"
                 "A system is PART=VALUE,…: prompt, model | adapter | upstream, name, and sampling "
                 "(temperature, max_tokens, seed, …),\n"
                 "or @system.yaml. The first system is the baseline.",
                 [&context, options] { return Evaluate(context, *options); });
  command->add_option("suite", options->suite, "SUITE[@VERSION]");
  command->add_option("--system", options->systems, "What to ask; may be given again");
  command->add_option("--run", options->run, "Show or follow this run instead");
  command->add_flag("--list", options->list, "List runs instead");
  command->add_option("--repeats", options->repeats, "Times every row is asked; 0 = 5");
  command->add_option("--cost-cap", options->cost_cap, "Pause at this cost, such as '2 USD'");
  command->add_option("--cutoff", options->cutoffs,
                      "GRADER>=SCORE the last system must reach, else exit code 1");
  command->add_option("--slices", options->slices, "Worst slices and fields to print")
      ->capture_default_str();
  command->add_option("--examples", options->examples, "Rows that got worse to print")
      ->capture_default_str();
  command->add_flag("--estimate", options->estimate,
                    "Check only, and say how many answers it takes");
  command->add_flag("-d,--detach", options->detach, "Do not wait");
}

}  // namespace crossover::cli
