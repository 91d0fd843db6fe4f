// crossover diagnose: signs that a prompt has reached its ceiling.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/client/names.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "crossover/registry/v1/task_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace registry = ::crossover::registry::v1;

struct DiagnoseOptions {
  std::string task;
  std::string prompt;
  std::vector<std::string> symptoms;
};

void PrintDiagnosis(Context& context, const registry::DiagnoseTaskResponse& diagnosis) {
  std::ostream& out = context.terminal().out;
  Table sections({{"PART OF THE PROMPT"}, {"TOKENS", Align::kRight}});
  for (const auto& section : diagnosis.sections()) {
    sections.AddRow(
        {section.name(), Count(section.tokens()) + (section.estimated() ? " (estimate)" : "")});
  }
  if (!sections.empty()) out << sections.Render(context.terminal()) << "\n";
  Table signs(
      {{"CEILING SIGN"}, {"WHAT", Align::kLeft, true}, {"VALUE"}, {"WHERE", Align::kLeft, true}});
  for (const auto& sign : diagnosis.ceiling_signs()) {
    signs.AddRow({sign.code(), sign.message(), sign.evidence().value(),
                  absl::StrJoin(sign.quotes(), " … ")});
  }
  out << (signs.empty() ? "no sign of a ceiling: the prompt can still improve\n"
                        : signs.Render(context.terminal()));
  Table remedies({{"SYMPTOM"}, {"TRY FIRST", Align::kLeft, true}, {"RUNG"}});
  for (const auto& remedy : diagnosis.remedies())
    remedies.AddRow({remedy.symptom(), remedy.remedy(), remedy.rung()});
  if (!remedies.empty()) out << "\n" << remedies.Render(context.terminal());
  if (!diagnosis.proposed_tasks().empty()) {
    out << "\nmore than one task in this prompt; split it: "
        << absl::StrJoin(diagnosis.proposed_tasks(), ", ") << "\n";
  }
}

absl::Status RunDiagnose(Context& context, const DiagnoseOptions& options) {
  auto stub = registry::TaskService::NewStub(context.Channel());
  registry::DiagnoseTaskRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), ExistingTaskName(context, options.task));
  if (!options.prompt.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_prompt_version(), PromptVersionName(context, options.prompt));
  }
  for (const std::string& symptom : options.symptoms) request.add_symptoms(symptom);
  ASSIGN_OR_RETURN(const auto diagnosis,
                   context.Call(stub, &registry::TaskService::Stub::DiagnoseTask, request, true));
  if (!context.PrintedJson(diagnosis)) PrintDiagnosis(context, diagnosis);
  return absl::OkStatus();
}

}  // namespace

void AddDiagnose(CLI::App& app, Context& context) {
  auto options = std::make_shared<DiagnoseOptions>();
  CLI::App* command =
      AddCommand(app, context, "diagnose", "Look for signs that more prompt work stops paying",
                 "  crossover diagnose support\n"
                 "  crossover diagnose support --prompt support/main@3f2a --symptom wrong_format",
                 [&context, options] { return RunDiagnose(context, *options); });
  command->add_option("task", options->task, "Task")->required();
  command->add_option("--prompt", options->prompt,
                      "TASK/PROMPT[@VERSION]; default: the task's only prompt");
  command->add_option("--symptom", options->symptoms,
                      "wrong_format, hallucinates, too_slow, too_expensive, unknown_product, "
                      "refuses, voice; may be given again");
}

}  // namespace crossover::cli
