// crossover suite: frozen rows and graders.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "crossover/evaluation/v1/suite_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace evaluation = ::crossover::evaluation::v1;
using evaluation::SuiteVersion;
using SuiteStub = evaluation::SuiteService::Stub;

struct SuiteOptions {
  std::string suite;
  std::string file;
  std::string task;
  std::string dataset;
  std::string split = "test";
  std::string role;
  std::vector<std::string> graders;
  std::vector<std::string> slices;
  std::vector<std::string> settings;
  int64_t max_rows = 0;
};

// `json-fields`, or `json-fields:{name: accuracy, fields: [section, role]}`; `name` is what results
// call it.
absl::Status AddGrader(const std::string& text, SuiteVersion& version) {
  const size_t colon = text.find(':');
  std::string yaml = "kind: " + text.substr(0, colon) + "\n";
  if (colon != std::string::npos) yaml += "parameters: " + text.substr(colon + 1) + "\n";
  evaluation::Grader& grader = *version.add_graders();
  RETURN_IF_ERROR(ReadSpecText(yaml, "--grader " + text, &grader));
  auto& parameters = *grader.mutable_parameters()->mutable_fields();
  if (const auto name = parameters.find("name"); name != parameters.end()) {
    grader.set_name(name->second.string_value());
    parameters.erase(name);
  }
  return absl::OkStatus();
}

absl::Status Build(Context& context, const SuiteOptions& options, SuiteVersion& version) {
  if (!options.file.empty()) RETURN_IF_ERROR(ReadSpecFile(options.file, &version));
  if (!options.role.empty())
    RETURN_IF_ERROR(ReadSpecText("role: " + options.role, "--role", &version));
  for (const std::string& grader : options.graders) RETURN_IF_ERROR(AddGrader(grader, version));
  for (const std::string& field : options.slices) {
    evaluation::Slice& slice = *version.add_slices();
    slice.set_name(field);
    slice.set_by_field(field);
  }
  RETURN_IF_ERROR(ApplyAssignments(options.settings, &version));
  if (!options.task.empty()) version.set_task(options.task);
  if (version.task().empty()) return UsageError("which task does it measure? give --task");
  ASSIGN_OR_RETURN(*version.mutable_task(), ExistingTaskName(context, version.task()));
  if (!options.dataset.empty()) {
    evaluation::DatasetRows& rows = *version.mutable_dataset();
    ASSIGN_OR_RETURN(*rows.mutable_dataset_version(), DatasetVersionName(context, options.dataset));
    rows.set_split(options.split);
    rows.set_max_rows(options.max_rows);
  }
  if (version.rows_case() == SuiteVersion::ROWS_NOT_SET)
    return UsageError("which rows? give --dataset, or --file with inline rows");
  return absl::OkStatus();
}

void PrintSuite(Context& context, const SuiteVersion& version) {
  std::vector<std::string> graders;
  for (const auto& grader : version.graders()) {
    graders.push_back(grader.name().empty() ? EnumWord(evaluation::Grader::Kind_Name(grader.kind()))
                                            : grader.name());
  }
  Details details;
  details.Add("suite", version.name());
  details.Add("role", EnumWord(SuiteVersion::Role_Name(version.role())));
  details.Add("task", version.task());
  details.Add("rows", absl::StrCat(Count(version.row_count()), " in ",
                                   Count(version.cluster_count()), " clusters"));
  details.Add("from", version.dataset().dataset_version());
  details.Add("graders", absl::StrJoin(graders, ", "));
  if (version.has_power()) {
    details.Add("can show",
                "differences of " +
                    absl::StrCat(Number(version.power().detectable_difference() * 100)) +
                    " points and more");
  }
  details.Add("used by", absl::StrCat(version.times_used(),
                                      version.times_used() == 1 ? " candidate" : " candidates"));
  context.terminal().out << details.Render(context.terminal());
}

absl::Status Freeze(Context& context, const SuiteOptions& options) {
  auto stub = evaluation::SuiteService::NewStub(context.Channel());
  evaluation::FreezeSuiteRequest request;
  ASSIGN_OR_RETURN(*request.mutable_parent(), FullName(context, "suites", options.suite));
  RETURN_IF_ERROR(Build(context, options, *request.mutable_suite_version()));
  request.set_request_id(context.RequestId());
  ASSIGN_OR_RETURN(const SuiteVersion version,
                   context.Call(stub, &SuiteStub::FreezeSuite, request, true));
  if (!context.PrintedJson(version)) PrintSuite(context, version);
  return absl::OkStatus();
}

absl::Status ListSuites(Context& context, const SuiteOptions& options) {
  auto stub = evaluation::SuiteService::NewStub(context.Channel());
  evaluation::ListSuiteVersionsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_parent(),
                   FullName(context, "suites", options.suite.empty() ? "-" : options.suite));
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &SuiteStub::ListSuiteVersions, request,
                                   [](auto& page) { return page.mutable_suite_versions(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"SUITE"},
               {"ROLE"},
               {"TASK"},
               {"ROWS", Align::kRight},
               {"SHOWS FROM", Align::kRight},
               {"USED", Align::kRight},
               {"FROZEN"}});
  for (const SuiteVersion& version : list.suite_versions()) {
    const std::string& name = version.name();
    const size_t suite = name.find("/suites/");
    const std::string slug = suite == std::string::npos
                                 ? ""
                                 : name.substr(suite + 8, name.find("/versions/") - suite - 8);
    table.AddRow({absl::StrCat(slug, "@", ShortDigest(version.digest())),
                  EnumWord(SuiteVersion::Role_Name(version.role())), ShortName(version.task()),
                  Count(version.row_count()),
                  version.has_power()
                      ? Number(version.power().detectable_difference() * 100) + " points"
                      : "",
                  Count(version.times_used()), Ago(version.create_time(), context.Now())});
  }
  context.terminal().out << (table.empty() ? "no suites yet; `crossover suite freeze` makes one\n"
                                           : table.Render(context.terminal()));
  return absl::OkStatus();
}

}  // namespace

void AddSuite(CLI::App& app, Context& context) {
  auto options = std::make_shared<SuiteOptions>();
  CLI::App* group = AddGroup(app, "suite", "Frozen rows and graders");
  CLI::App* freeze =
      AddCommand(*group, context, "freeze", "Freeze rows and graders into a hashed version",
                 "  crossover suite freeze support-test --task support --dataset support-rows "
                 "--split test --role test \\\n"
                 "      --grader json-fields --slice section\n"
                 "  crossover suite freeze support-bench --file benchmark.yaml\n"
                 "Graders: exact, normalised, regex, choice, json-valid, json-schema, json-fields, "
                 "numeric; parameters in YAML after\n"
                 "a colon: numeric:{tolerance: 0.01}",
                 [&context, options] { return Freeze(context, *options); });
  freeze->add_option("suite", options->suite, "Slug")->required();
  freeze->add_option("--task", options->task, "Task it measures");
  freeze->add_option("--dataset", options->dataset, "DATASET[@VERSION] the rows come from");
  freeze->add_option("--split", options->split, "Split of it")->capture_default_str();
  freeze->add_option("--max-rows", options->max_rows, "Most rows, drawn by seed; 0 = all");
  freeze->add_option("--role", options->role, "dev, test, general or ood");
  freeze->add_option("--grader", options->graders,
                     "KIND[:PARAMETERS], the deciding one first; may be given again");
  freeze->add_option("--slice", options->slices,
                     "Field whose values are reported on their own; may be given again");
  freeze->add_option("--file", options->file, "YAML file with the fields of SuiteVersion")
      ->check(CLI::ExistingFile);
  AddSet(freeze, context, options->settings, SuiteVersion::descriptor(),
         "FIELD=VALUE of SuiteVersion; may be given again");
  AddCommand(*group, context, "list", "List suite versions, newest first", "", [&context, options] {
    return ListSuites(context, *options);
  })->add_option("suite", options->suite, "Only this suite");
}

}  // namespace crossover::cli
