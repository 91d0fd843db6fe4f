// crossover compare: what crossing over would change, in six rows.
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/commands/run_view.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/json.h"
#include "cli/output/table.h"
#include "common/status/error.h"
#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"
#include "crossover/registry/v1/task_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace evaluation = ::crossover::evaluation::v1;
namespace registry = ::crossover::registry::v1;
using evaluation::Comparison;
using evaluation::Run;
using type::v1::Interval;

struct CompareOptions {
  std::string run;
  std::string consistency;
};

std::string Usd(const Interval& value) { return NumberInterval(value) + " USD"; }

// One row of the table: where its number is found and how people read it. `published` is what
// a contract-clause extraction reported for the same step, from a long prompt to a tuned model.
struct RowKind {
  const char* title;
  const char* metric;
  std::string (*value)(const Interval&);
  std::string (*difference)(const Interval&);
  const char* published;
  const char* how_to_get_it;
};

constexpr RowKind kRows[] = {
    {"prompt tokens", "prompt_tokens", NumberInterval, NumberInterval, "1,800 → 0",
     "no answer came with its tokens"},
    {"cost per request", "cost_per_request", Usd, Usd, "0.024 → 0.001 USD",
     "declare prices, or monthly_spend and tokens_per_month of the task"},
    {"cost per month", "cost_per_month", Usd, Usd, "2,160 → 90 USD",
     "declare volume.requests_per_day and prices"},
    {"accuracy", "accuracy", ShareInterval, PointsInterval, "83 → 91 %", ""},
    {"median latency", "latency_p50", SecondsInterval, SecondsInterval, "2.8 → 0.9 s",
     "every answer came from a cache"},
    {"consistency (same output on retry)", "consistency", ShareInterval, PointsInterval,
     "78 → 97 %", "give --consistency RUN, a run with 2 repeats or more"},
};

// What the table is made of.
struct Report {
  Run run;
  Comparison comparison;
  std::optional<Run> retries;  // the run that asked the same rows several times
  std::optional<Comparison> retries_comparison;
  std::optional<registry::Task> task;
};

// The last one of that name: the server's own metrics come after the suite's graders.
const Comparison::Metric* FindMetric(const Comparison& comparison, std::string_view name) {
  const Comparison::Metric* found = nullptr;
  for (const auto& metric : comparison.metrics()) {
    if (metric.metric() == name) found = &metric;
  }
  return found;
}

const Comparison::Metric* MetricOf(const Report& report, const RowKind& row) {
  const bool of_retries = std::string_view(row.metric) == "consistency";
  return FindMetric(
      of_retries && report.retries_comparison ? *report.retries_comparison : report.comparison,
      row.metric);
}

std::string Short(const Run& run) { return std::string(IdOf(run.name())); }

absl::StatusOr<Run> GetRun(Context& context, const std::string& text) {
  auto stub = evaluation::EvaluationService::NewStub(context.Channel());
  evaluation::GetRunRequest get;
  ASSIGN_OR_RETURN(*get.mutable_name(), FullName(context, "runs", text));
  ASSIGN_OR_RETURN(Run run,
                   context.Call(stub, &evaluation::EvaluationService::Stub::GetRun, get, true));
  if (run.state() != Run::SUCCEEDED) {
    return Error(absl::StatusCode::kFailedPrecondition, kOutcome,
                 absl::StrCat("run ", Short(run), " is ", EnumWord(Run::State_Name(run.state())),
                              "; follow it with: crossover evaluate --run ", Short(run)));
  }
  if (run.systems_size() < 2)
    return UsageError(absl::StrCat("run ", Short(run), " asked one system; two are compared"));
  return run;
}

// First and last system of the runs must be the same two, sampling apart.
absl::Status CheckSameSystems(const Run& run, const Run& retries) {
  const auto pair = [](const Run& of) {
    return absl::StrCat(SystemLabelOf(of, 0), " and ", SystemLabelOf(of, of.systems_size() - 1));
  };
  if (pair(run) == pair(retries)) return absl::OkStatus();
  return UsageError(absl::StrCat("run ", Short(run), " compares ", pair(run), ", run ",
                                 Short(retries), " ", pair(retries),
                                 ": both must ask the same systems, by name"));
}

// The task, for its declared volume; absent where nobody registered it.
absl::StatusOr<std::optional<registry::Task>> GetTask(Context& context, const std::string& name) {
  if (name.empty()) return std::nullopt;
  auto stub = registry::TaskService::NewStub(context.Channel());
  registry::GetTaskRequest get;
  get.set_name(name);
  auto task = context.Call(stub, &registry::TaskService::Stub::GetTask, get, true);
  if (task.status().code() == absl::StatusCode::kNotFound) return std::nullopt;
  RETURN_IF_ERROR(task.status());
  return *std::move(task);
}

// Costs are measured tokens at prices that somebody declared.
const char* SourceText(const Comparison::Metric& metric) {
  return metric.source() == type::v1::Evidence::DECLARED ? "declared price" : "measured";
}

// What was declared for the costs, in the server's words.
std::string PriceWords(const Comparison& comparison) {
  const Comparison::Metric* cost = FindMetric(comparison, "cost_per_request");
  return cost == nullptr ? "" : cost->explanation();
}

absl::StatusOr<Report> Gather(Context& context, const CompareOptions& options) {
  Report report;
  ASSIGN_OR_RETURN(report.run, GetRun(context, options.run));
  if (!options.consistency.empty()) {
    ASSIGN_OR_RETURN(report.retries, GetRun(context, options.consistency));
    RETURN_IF_ERROR(CheckSameSystems(report.run, *report.retries));
    // Before the other: a decision takes the task's newest comparison.
    ASSIGN_OR_RETURN(report.retries_comparison, CompareSystems(context, *report.retries, 0,
                                                               report.retries->systems_size() - 1));
  }
  ASSIGN_OR_RETURN(report.comparison,
                   CompareSystems(context, report.run, 0, report.run.systems_size() - 1));
  ASSIGN_OR_RETURN(report.task, GetTask(context, report.run.task()));
  return report;
}

std::string Title(const Report& report, const RowKind& row) {
  const double requests = report.task ? report.task->volume().requests_per_day() : 0;
  if (std::string_view(row.metric) != "cost_per_month" || requests <= 0) return row.title;
  return absl::StrCat(row.title, ", ", Number(requests), " requests/day");
}

// How many rows and answers the retries are about, and how they were drawn.
std::string RetriesWords(const Report& report) {
  const Run& run = report.retries ? *report.retries : report.run;
  const Comparison& comparison =
      report.retries_comparison ? *report.retries_comparison : report.comparison;
  const Comparison::Metric* metric = FindMetric(comparison, "consistency");
  if (metric == nullptr) return "";
  const auto& sampling = run.systems(run.systems_size() - 1).sampling();
  return absl::StrCat(Count(metric->baseline().n()), " rows × ", run.repeats(), " answers",
                      sampling.has_temperature()
                          ? absl::StrCat(" at temperature ", Number(sampling.temperature()))
                          : "");
}

void PrintReport(Context& context, const Report& report) {
  const Terminal& terminal = context.terminal();
  const int last = report.run.systems_size() - 1;
  Table table({{""},
               {SystemLabelOf(report.run, 0)},
               {SystemLabelOf(report.run, last)},
               {"DIFFERENCE"},
               {"P (HOLM)", Align::kRight},
               {""},
               {"SOURCE"},
               {"PUBLISHED"}});
  for (const RowKind& row : kRows) {
    const Comparison::Metric* metric = MetricOf(report, row);
    if (metric == nullptr) {
      table.AddRow(
          {Title(report, row), "unknown", "unknown", row.how_to_get_it, "", "", "", row.published});
      continue;
    }
    table.AddRow({Title(report, row), row.value(metric->baseline()), row.value(metric->candidate()),
                  row.difference(metric->difference()), PValueText(metric->adjusted_p_value()),
                  JudgementText(terminal, *metric), SourceText(*metric), row.published});
  }
  terminal.out << SuiteLabel(report.run.suite_version()) << ", "
               << Count(report.comparison.metrics().empty()
                            ? 0
                            : report.comparison.metrics(0).baseline().n())
               << " rows, paired; 95 % intervals\n\n"
               << table.Render(terminal) << "\n";
  Details notes;
  notes.Add("cost", PriceWords(report.comparison));
  notes.Add("consistency", RetriesWords(report));
  notes.Add("published",
            "contract-clause extraction, from a long prompt to a tuned model; not "
            "measured here");
  terminal.out << notes.Render(terminal);
}

void PrintJsonReport(Context& context, const Report& report) {
  nlohmann::ordered_json json;
  json["run"] = report.run.name();
  json["baseline"] = SystemLabelOf(report.run, 0);
  json["candidate"] = SystemLabelOf(report.run, report.run.systems_size() - 1);
  json["rows"] = nlohmann::ordered_json::array();
  for (const RowKind& row : kRows) {
    nlohmann::ordered_json item = {
        {"title", row.title}, {"published", row.published}, {"metric", nullptr}};
    if (const Comparison::Metric* metric = MetricOf(report, row))
      item["metric"] = nlohmann::ordered_json::parse(ToJson(*metric));
    json["rows"].push_back(std::move(item));
  }
  json["comparison"] = report.comparison.name();
  context.terminal().out << json.dump(1) << "\n";
}

absl::Status Compare(Context& context, const CompareOptions& options) {
  ASSIGN_OR_RETURN(const Report report, Gather(context, options));
  if (context.globals.json) {
    PrintJsonReport(context, report);
  } else {
    PrintReport(context, report);
  }
  return absl::OkStatus();
}

}  // namespace

void AddCompare(CLI::App& app, Context& context) {
  auto options = std::make_shared<CompareOptions>();
  CLI::App* command = AddCommand(
      app, context, "compare", "What crossing over would change, in six rows",
      "  crossover evaluate support-test --system prompt=support/main,model=smollm2-135m-instruct "
      "\\\n"
      "      --system adapter=ft:smollm2-135m-instruct:default:support:06bq3f2a --repeats 1\n"
      "  crossover compare 06bq3f…\n"
      "  crossover compare 06bq3f… --consistency 06bq4a…\n"
      "Prompt tokens, cost per request and month, accuracy, latency and consistency of a run's "
      "first "
      "system (the prompt)\n"
      "and its last (the tuned model). Costs are measured tokens at declared prices.",
      [&context, options] { return Compare(context, *options); });
  command->add_option("run", options->run, "Evaluation run of both systems")->required();
  command->add_option("--consistency", options->consistency,
                      "Run of the same systems with repeats, for the last row");
}

}  // namespace crossover::cli
