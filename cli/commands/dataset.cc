// crossover dataset: rows in, curated, sealed.
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/client/transfer.h"
#include "cli/client/watch.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/progress.h"
#include "cli/output/table.h"
#include "common/status/error.h"
#include "crossover/curation/v1/curation_service.grpc.pb.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace curation = ::crossover::curation::v1;
using curation::CurationRun;
using RunStub = curation::CurationService::Stub;
using SetStub = curation::DatasetService::Stub;

struct DatasetOptions {
  std::string dataset;
  std::vector<std::string> files;
  std::vector<std::string> split_files;  // split=path
  std::string task;
  std::string licence;
  std::string source;
  std::string recipe;
  std::string run;
  std::string previous;
  bool seal = false;
  bool detach = false;
};

std::string ReasonsText(const google::protobuf::Map<std::string, int64_t>& reasons) {
  const std::map<std::string, int64_t> sorted(reasons.begin(), reasons.end());
  std::vector<std::string> parts;
  for (const auto& [reason, rows] : sorted) parts.push_back(absl::StrCat(reason, " ", Count(rows)));
  return absl::StrJoin(parts, ", ");
}

void PrintFunnel(Context& context,
                 const google::protobuf::RepeatedPtrField<curation::FunnelStep>& funnel) {
  Table table({{"STAGE"},
               {"IN", Align::kRight},
               {"OUT", Align::kRight},
               {"DROPPED", Align::kRight},
               {"TIME", Align::kRight},
               {"WHY", Align::kLeft, true}});
  for (const auto& step : funnel) {
    std::string why = ReasonsText(step.dropped());
    if (!step.flagged().empty())
      absl::StrAppend(&why, why.empty() ? "" : "; ", "flagged: ", ReasonsText(step.flagged()));
    if (!step.changed().empty())
      absl::StrAppend(&why, why.empty() ? "" : "; ", "changed: ", ReasonsText(step.changed()));
    const int64_t dropped = step.rows_in() - step.rows_out();
    table.AddRow({step.stage(), Count(step.rows_in()), Count(step.rows_out()),
                  dropped > 0 ? Count(dropped) : "",
                  step.cached() ? "cached" : Length(step.duration()), why});
  }
  context.terminal().out << table.Render(context.terminal());
}

void PrintCounts(
    Context& context,
    const google::protobuf::RepeatedPtrField<curation::DatasetVersion::SplitCounts>& counts) {
  Table table({{"SPLIT"},
               {"ROWS", Align::kRight},
               {"CLUSTERS", Align::kRight},
               {"CHARACTERS", Align::kRight}});
  for (const auto& split : counts) {
    table.AddRow(
        {split.split(), Count(split.rows()), Count(split.clusters()), Count(split.characters())});
  }
  context.terminal().out << table.Render(context.terminal());
}

void PrintVersion(Context& context, const curation::DatasetVersion& version) {
  Details details;
  details.Add("version", version.name());
  details.Add("artifact", version.artifact_digest());
  details.Add("recipe", version.recipe_digest());
  details.Add("licence", version.licence());
  details.Add("size", version.size_bytes() > 0 ? Bytes(version.size_bytes()) : "");
  if (version.tombstones_applied() > 0)
    details.Add("kept out", Count(version.tombstones_applied()) + " forgotten rows");
  context.terminal().out << details.Render(context.terminal()) << "\n";
  PrintCounts(context, version.counts());
}

absl::Status EnsureDataset(Context& context, const std::string& name,
                           const DatasetOptions& options) {
  auto stub = curation::DatasetService::NewStub(context.Channel());
  curation::GetDatasetRequest get;
  get.set_name(name);
  const absl::Status found = context.Call(stub, &SetStub::GetDataset, get, true).status();
  if (found.code() != absl::StatusCode::kNotFound) return found;
  curation::CreateDatasetRequest create;
  create.set_parent(context.Project());
  create.set_dataset_id(std::string(IdOf(name)));
  create.set_request_id(context.RequestId());
  curation::Dataset& dataset = *create.mutable_dataset();
  if (!options.task.empty()) {
    ASSIGN_OR_RETURN(*dataset.mutable_task(), ExistingTaskName(context, options.task));
  }
  dataset.set_licence(options.licence);
  if (!options.source.empty()) dataset.add_sources()->set_uri(options.source);
  return context.Call(stub, &SetStub::CreateDataset, create, true).status();
}

// Uploads one file and adds it to the run.
absl::Status AddFile(Context& context, const std::string& path, const std::string& split,
                     CurationRun& run) {
  ASSIGN_OR_RETURN(const curation::File file, UploadFile(context, path, "fine-tune"));
  curation::RunInput& input = *run.add_inputs();
  input.set_file(file.name());
  input.set_split(split);
  return absl::OkStatus();
}

absl::StatusOr<CurationRun> FollowCurationRun(Context& context, const CurationRun& started) {
  auto stub = curation::CurationService::NewStub(context.Channel());
  curation::WatchCurationRunRequest request;
  request.set_name(started.name());
  CurationRun run = started;
  ProgressLine line(context.terminal(), context.world.clock);
  const absl::Status status = Watch<curation::WatchCurationRunResponse>(
      context,
      [&](grpc::ClientContext* call, const std::string& token) {
        request.set_resume_token(token);
        return stub->WatchCurationRun(call, request);
      },
      [&](const curation::WatchCurationRunResponse& item) {
        if (!item.has_snapshot()) return Watching::kGoOn;
        run = item.snapshot();
        const int stages = std::max(run.resolved_recipe().stages_size(), run.funnel_size());
        const std::string stage =
            run.funnel().empty() ? "" : ", after " + run.funnel(run.funnel_size() - 1).stage();
        line.Update(absl::StrCat("curating: ", run.funnel_size(), "/", stages, " stages", stage));
        const bool at_work =
            run.state() == CurationRun::QUEUED || run.state() == CurationRun::RUNNING;
        return at_work ? Watching::kGoOn : Watching::kStop;
      });
  line.Finish();
  if (HasReason(status, kInterrupted)) {
    context.terminal().err << "Detached; the run goes on.\n  look again   crossover dataset report "
                           << run.name() << "\n";
  }
  if (!status.ok()) return status;
  curation::GetCurationRunRequest get;
  get.set_name(run.name());
  return context.Call(stub, &RunStub::GetCurationRun, get, true);
}

absl::StatusOr<curation::DatasetVersion> SealRun(Context& context, const std::string& dataset,
                                                 const std::string& run,
                                                 const std::string& previous) {
  auto stub = curation::DatasetService::NewStub(context.Channel());
  curation::SealDatasetVersionRequest request;
  request.set_parent(dataset);
  request.set_run(run);
  request.set_previous_version(previous);
  request.set_request_id(context.RequestId());
  return context.Call(stub, &SetStub::SealDatasetVersion, request, true);
}

absl::Status RunOutcome(const CurationRun& run) {
  if (run.state() == CurationRun::SUCCEEDED) return absl::OkStatus();
  if (run.state() == CurationRun::NEEDS_REVIEW) {
    return Error(absl::StatusCode::kFailedPrecondition, "REVIEW_OPEN",
                 absl::StrCat(run.open_review_items(), " rows wait for a person's review"));
  }
  return Error(absl::StatusCode::kFailedPrecondition,
               run.error_reason().empty() ? kOutcome : run.error_reason(),
               absl::StrCat("the run is ", EnumWord(CurationRun::State_Name(run.state())), ": ",
                            run.state_reason()));
}

absl::Status ImportDataset(Context& context, const DatasetOptions& options) {
  ASSIGN_OR_RETURN(const std::string dataset, FullName(context, "datasets", options.dataset));
  if (options.files.empty() && options.split_files.empty()) return UsageError("no file to import");
  curation::CreateCurationRunRequest create;
  create.set_parent(dataset);
  create.set_request_id(context.RequestId());
  CurationRun& run = *create.mutable_curation_run();
  if (!options.recipe.empty()) RETURN_IF_ERROR(ReadSpecFile(options.recipe, run.mutable_recipe()));
  for (const std::string& path : options.files) RETURN_IF_ERROR(AddFile(context, path, "", run));
  for (const std::string& text : options.split_files) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos)
      return UsageError(absl::StrCat("'", text, "' is not SPLIT=FILE"));
    RETURN_IF_ERROR(AddFile(context, text.substr(equals + 1), text.substr(0, equals), run));
  }
  // After the files: a path with a slip of the pen leaves no empty data set.
  RETURN_IF_ERROR(EnsureDataset(context, dataset, options));
  auto stub = curation::CurationService::NewStub(context.Channel());
  ASSIGN_OR_RETURN(const CurationRun started,
                   context.Call(stub, &RunStub::CreateCurationRun, create, true));
  if (options.detach) {
    if (!context.PrintedJson(started)) context.terminal().out << started.name() << "\n";
    return absl::OkStatus();
  }
  auto ended = FollowCurationRun(context, started);
  if (HasReason(ended.status(), kInterrupted)) return absl::OkStatus();
  RETURN_IF_ERROR(ended.status());
  if (!context.globals.json) PrintFunnel(context, ended->funnel());
  RETURN_IF_ERROR(RunOutcome(*ended));
  if (!options.seal) {
    if (!context.PrintedJson(*ended))
      context.terminal().out << "\nnext: crossover dataset seal " << IdOf(dataset) << "\n";
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const auto version, SealRun(context, dataset, ended->name(), options.previous));
  if (context.PrintedJson(version)) return absl::OkStatus();
  context.terminal().out << "\n";
  PrintVersion(context, version);
  return absl::OkStatus();
}

// The data set's newest run that has succeeded.
absl::StatusOr<std::string> NewestRun(Context& context, const std::string& dataset,
                                      const std::string& filter) {
  auto stub = curation::CurationService::NewStub(context.Channel());
  curation::ListCurationRunsRequest request;
  request.set_parent(dataset);
  request.set_filter(filter);
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(
                       stub, &RunStub::ListCurationRuns, request,
                       [](auto& page) { return page.mutable_curation_runs(); }, 1));
  if (!list.curation_runs().empty()) return list.curation_runs(0).name();
  return Error(
      absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
      absl::StrCat(
          dataset,
          " has no curation run that has succeeded; `crossover dataset import` makes one"));
}

absl::Status Seal(Context& context, const DatasetOptions& options) {
  ASSIGN_OR_RETURN(const std::string dataset, FullName(context, "datasets", options.dataset));
  std::string run;
  if (options.run.empty()) {
    ASSIGN_OR_RETURN(run, NewestRun(context, dataset, "state = SUCCEEDED"));
  } else {
    run = options.run.rfind("projects/", 0) == 0 ? options.run : dataset + "/runs/" + options.run;
  }
  ASSIGN_OR_RETURN(const auto version, SealRun(context, dataset, run, options.previous));
  if (!context.PrintedJson(version)) PrintVersion(context, version);
  return absl::OkStatus();
}

// A run's or version's name as it is; else the version named, or the newest run when nothing is
// sealed.
absl::StatusOr<std::string> ReportName(Context& context, const std::string& text) {
  if (text.find("/runs/") != std::string::npos || text.find("/versions/") != std::string::npos)
    return text;
  auto version = DatasetVersionName(context, text);
  if (version.ok() || version.status().code() != absl::StatusCode::kNotFound ||
      text.find('@') != std::string::npos)
    return version;
  ASSIGN_OR_RETURN(const std::string dataset, FullName(context, "datasets", text));
  return NewestRun(context, dataset, "");
}

absl::Status Report(Context& context, const DatasetOptions& options) {
  auto stub = curation::DatasetService::NewStub(context.Channel());
  curation::GetDatasetReportRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), ReportName(context, options.dataset));
  ASSIGN_OR_RETURN(const auto report,
                   context.Call(stub, &SetStub::GetDatasetReport, request, true));
  if (context.PrintedJson(report)) return absl::OkStatus();
  std::ostream& out = context.terminal().out;
  out << report.name() << "\n\n";
  PrintFunnel(context, report.funnel());
  if (!report.counts().empty()) {
    out << "\n";
    PrintCounts(context, report.counts());
  }
  Table findings({{"FINDING"}, {"STAGE"}, {"ROWS", Align::kRight}, {"WHAT", Align::kLeft, true}});
  for (const auto& finding : report.findings()) {
    findings.AddRow(
        {finding.severity(), finding.stage(), Count(finding.rows()), finding.message()});
  }
  if (!findings.empty()) out << "\n" << findings.Render(context.terminal());
  Table labels({{"FIELD"},
                {"LABEL", Align::kLeft, true},
                {"TRAIN", Align::kRight},
                {"VALIDATION", Align::kRight},
                {"TEST", Align::kRight}});
  for (const auto& label : report.label_counts()) {
    const auto rows = [&](const char* split) {
      const auto found = label.rows().find(split);
      return found == label.rows().end() ? "" : Count(found->second);
    };
    labels.AddRow({label.field(), label.label(), rows("train"), rows("validation"), rows("test")});
  }
  if (!labels.empty()) out << "\n" << labels.Render(context.terminal());
  return absl::OkStatus();
}

absl::Status ListDatasetVersions(Context& context, const DatasetOptions& options) {
  auto stub = curation::DatasetService::NewStub(context.Channel());
  curation::ListDatasetVersionsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_parent(), FullName(context, "datasets", options.dataset));
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &SetStub::ListDatasetVersions, request,
                                   [](auto& page) { return page.mutable_dataset_versions(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"VERSION"},
               {"TRAIN", Align::kRight},
               {"VALIDATION", Align::kRight},
               {"TEST", Align::kRight},
               {"RUN"},
               {"SEALED"}});
  for (const auto& version : list.dataset_versions()) {
    std::map<std::string, std::string> rows;
    for (const auto& split : version.counts()) rows[split.split()] = Count(split.rows());
    table.AddRow({ShortDigest(version.digest()), rows["train"], rows["validation"], rows["test"],
                  ShortName(version.run()), Ago(version.create_time(), context.Now())});
  }
  context.terminal().out << (table.empty()
                                 ? "nothing sealed yet; `crossover dataset seal` makes a version\n"
                                 : table.Render(context.terminal()));
  return absl::OkStatus();
}

absl::Status ListDatasets(Context& context, const DatasetOptions& options) {
  if (!options.dataset.empty()) return ListDatasetVersions(context, options);
  auto stub = curation::DatasetService::NewStub(context.Channel());
  curation::ListDatasetsRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &SetStub::ListDatasets, request,
                                   [](auto& page) { return page.mutable_datasets(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"DATA SET"}, {"TASK"}, {"SEALED"}, {"LICENCE", Align::kLeft, true}, {"CREATED"}});
  for (const auto& dataset : list.datasets()) {
    table.AddRow({std::string(IdOf(dataset.name())), ShortName(dataset.task()),
                  dataset.current_version().empty() ? "no" : ShortName(dataset.current_version()),
                  dataset.licence(), Ago(dataset.create_time(), context.Now())});
  }
  context.terminal().out << (table.empty()
                                 ? "no data sets yet; `crossover dataset import` makes one\n"
                                 : table.Render(context.terminal()));
  return absl::OkStatus();
}

}  // namespace

void AddDataset(CLI::App& app, Context& context) {
  auto options = std::make_shared<DatasetOptions>();
  CLI::App* group = AddGroup(app, "dataset", "Rows: import, curate, seal");
  CLI::App* import = AddCommand(
      *group, context, "import", "Upload rows and run them through the curation stages",
      "  crossover dataset import support-rows rows.jsonl --task support\n"
      "  crossover dataset import support-rows --split-file train=train.jsonl "
      "--split-file test=test.jsonl --seal\n"
      "Takes JSONL, one row a line: {\"messages\": […]} or {\"prompt\", \"completion\"}. A "
      "line that is no row is left\n"
      "out and named in a warning.",
      [&context, options] { return ImportDataset(context, *options); });
  import->add_option("dataset", options->dataset, "Slug; made when it does not exist")->required();
  import->add_option("files", options->files, "Files whose rows the recipe splits");
  import->add_option("--split-file", options->split_files,
                     "SPLIT=FILE: rows that belong to train, validation or test");
  import->add_option("--task", options->task, "Task the rows are for");
  import->add_option("--licence", options->licence, "SPDX identifier of the rows");
  import->add_option("--source", options->source, "Where the rows come from");
  import->add_option("--recipe", options->recipe, "YAML file with stages and parameters")
      ->check(CLI::ExistingFile);
  import->add_option("--previous", options->previous, "With --seal: version it goes on from");
  import->add_flag("--seal", options->seal, "Seal a version when all went well");
  import->add_flag("-d,--detach", options->detach, "Do not wait for the stages");

  AddCommand(*group, context, "report", "Show what curation did: funnel, splits, findings",
             "  crossover dataset report support-rows\n  crossover dataset report "
             "support-rows@3f2a --json",
             [&context, options] { return Report(context, *options); })
      ->add_option("dataset", options->dataset, "DATASET[@VERSION], or the name of a run")
      ->required();
  CLI::App* seal =
      AddCommand(*group, context, "seal", "Make an immutable, hashed version from a run",
                 "  crossover dataset seal support-rows",
                 [&context, options] { return Seal(context, *options); });
  seal->add_option("dataset", options->dataset, "Slug or name")->required();
  seal->add_option("--run", options->run, "Run to seal; default: the newest that has succeeded");
  seal->add_option("--previous", options->previous, "Version it goes on from");
  AddCommand(*group, context, "list", "List data sets, or the sealed versions of one", "",
             [&context, options] { return ListDatasets(context, *options); })
      ->add_option("dataset", options->dataset, "Slug or name");
}

}  // namespace crossover::cli
