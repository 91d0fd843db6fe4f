// crossover prompt: prompts as hashed versions.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "common/status/error.h"
#include "crossover/registry/v1/prompt_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace registry = ::crossover::registry::v1;
using PromptStub = registry::PromptService::Stub;

struct PromptOptions {
  std::string prompt;
  std::string other;
  std::string file;
  std::string system;
  std::string note;
  std::string evaluation;
  std::string override_reason;
  std::string reason;
  std::vector<std::string> settings;
};

std::string StateWord(const registry::PromptVersion& version) {
  return EnumWord(registry::PromptVersion::State_Name(version.state()));
}

// The prompt, made when it is not there yet.
absl::Status EnsurePrompt(Context& context, std::unique_ptr<PromptStub>& stub,
                          const std::string& name) {
  registry::GetPromptRequest get;
  get.set_name(name);
  const absl::Status found = context.Call(stub, &PromptStub::GetPrompt, get, true).status();
  if (found.code() != absl::StatusCode::kNotFound) return found;
  registry::CreatePromptRequest create;
  create.set_parent(name.substr(0, name.find("/prompts/")));
  create.set_prompt_id(std::string(IdOf(name)));
  create.mutable_prompt();
  create.set_request_id(context.RequestId());
  return context.Call(stub, &PromptStub::CreatePrompt, create, true).status();
}

absl::Status CreatePrompt(Context& context, const PromptOptions& options) {
  ASSIGN_OR_RETURN(const std::string name, PromptName(context, options.prompt));
  registry::CreatePromptVersionRequest request;
  request.set_parent(name);
  registry::PromptSpec& spec = *request.mutable_prompt_version()->mutable_spec();
  if (!options.file.empty()) RETURN_IF_ERROR(ReadSpecFile(options.file, &spec));
  if (!options.system.empty()) {
    auto* system = spec.add_messages();
    system->set_role("system");
    system->set_content(options.system);
    auto* user = spec.add_messages();
    user->set_role("user");
    user->set_content("{{input}}");
  }
  RETURN_IF_ERROR(ApplyAssignments(options.settings, &spec));
  if (spec.messages().empty())
    return UsageError("the prompt has no messages; give --file or --system");
  request.mutable_prompt_version()->set_note(options.note);
  request.set_request_id(context.RequestId());
  auto stub = registry::PromptService::NewStub(context.Channel());
  RETURN_IF_ERROR(EnsurePrompt(context, stub, name));
  ASSIGN_OR_RETURN(const auto version,
                   context.Call(stub, &PromptStub::CreatePromptVersion, request, true));
  if (context.PrintedJson(version)) return absl::OkStatus();
  context.terminal().out << absl::StrCat(options.prompt, "@", ShortDigest(version.digest()), " is ",
                                         StateWord(version), "\n");
  return absl::OkStatus();
}

absl::Status ListPromptVersions(Context& context, std::unique_ptr<PromptStub>& stub,
                                const std::string& prompt) {
  registry::ListPromptVersionsRequest request;
  request.set_parent(prompt);
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &PromptStub::ListPromptVersions, request,
                                   [](auto& page) { return page.mutable_prompt_versions(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"VERSION"}, {"STATE"}, {"EVALUATION"}, {"CREATED"}, {"NOTE", Align::kLeft, true}});
  for (const auto& version : list.prompt_versions()) {
    table.AddRow({ShortDigest(version.digest()), StateWord(version),
                  ShortName(version.evaluation()), Ago(version.create_time(), context.Now()),
                  version.note()});
  }
  context.terminal().out << table.Render(context.terminal());
  return absl::OkStatus();
}

absl::Status ListPrompts(Context& context, const PromptOptions& options) {
  auto stub = registry::PromptService::NewStub(context.Channel());
  if (options.prompt.find('/') != std::string::npos && options.prompt.rfind("projects/", 0) != 0) {
    ASSIGN_OR_RETURN(const std::string prompt, PromptName(context, options.prompt));
    return ListPromptVersions(context, stub, prompt);
  }
  registry::ListPromptsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_parent(),
                   TaskName(context, options.prompt.empty() ? "-" : options.prompt));
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &PromptStub::ListPrompts, request,
                                   [](auto& page) { return page.mutable_prompts(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"PROMPT"}, {"ACTIVE"}, {"LATEST"}, {"UPDATED"}});
  for (const registry::Prompt& prompt : list.prompts()) {
    const std::string& name = prompt.name();
    const size_t task = name.find("/tasks/");
    std::string label(IdOf(name));
    if (task != std::string::npos)
      label = absl::StrCat(name.substr(task + 7, name.find("/prompts/") - task - 7), "/", label);
    table.AddRow({label,
                  prompt.active_version().empty() ? "none" : ShortName(prompt.active_version()),
                  ShortName(prompt.latest_version()), Ago(prompt.update_time(), context.Now())});
  }
  context.terminal().out
      << (table.empty()
              ? "no prompts yet; `crossover prompt create TASK/PROMPT --file …` makes one\n"
              : table.Render(context.terminal()));
  return absl::OkStatus();
}

absl::Status ShowPrompt(Context& context, const PromptOptions& options) {
  auto stub = registry::PromptService::NewStub(context.Channel());
  registry::GetPromptVersionRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), PromptVersionName(context, options.prompt));
  ASSIGN_OR_RETURN(const auto version,
                   context.Call(stub, &PromptStub::GetPromptVersion, request, true));
  if (context.PrintedJson(version)) return absl::OkStatus();
  Details details;
  details.Add("version", version.name());
  details.Add("state", StateWord(version));
  details.Add("parent", ShortName(version.parent()));
  details.Add("note", version.note());
  details.Add("evaluation", version.evaluation());
  details.Add("override", version.override_reason());
  details.Add("active since", Moment(version.activate_time()));
  const int examples = version.spec().few_shot().rows_size();
  if (examples > 0) details.Add("examples", absl::StrCat(examples));
  details.Add("strategy", EnumWord(registry::PromptSpec::Strategy_Name(version.spec().strategy())));
  context.terminal().out << details.Render(context.terminal());
  for (const auto& message : version.spec().messages()) {
    context.terminal().out << "\n"
                           << Styled(context.terminal(), Style::kBold, message.role() + ":") << "\n"
                           << message.content() << "\n";
  }
  return absl::OkStatus();
}

absl::Status Activate(Context& context, const PromptOptions& options) {
  auto stub = registry::PromptService::NewStub(context.Channel());
  registry::ActivatePromptVersionRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), PromptVersionName(context, options.prompt));
  if (!options.evaluation.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_evaluation(), FullName(context, "runs", options.evaluation));
  }
  request.set_override_reason(options.override_reason);
  ASSIGN_OR_RETURN(const auto version,
                   context.Call(stub, &PromptStub::ActivatePromptVersion, request, true));
  if (context.PrintedJson(version)) return absl::OkStatus();
  context.terminal().out << version.name() << " is " << StateWord(version) << "\n";
  return absl::OkStatus();
}

absl::Status Rollback(Context& context, const PromptOptions& options) {
  auto stub = registry::PromptService::NewStub(context.Channel());
  registry::RollbackPromptRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), PromptName(context, options.prompt));
  request.set_reason(options.reason);
  ASSIGN_OR_RETURN(const auto version, context.Call(stub, &PromptStub::RollbackPrompt, request));
  if (context.PrintedJson(version)) return absl::OkStatus();
  context.terminal().out << version.name() << " is " << StateWord(version) << " again\n";
  return absl::OkStatus();
}

std::string ColoredDiff(const Terminal& terminal, const std::string& diff) {
  std::string out;
  for (size_t begin = 0; begin < diff.size();) {
    const size_t end = std::min(diff.find('\n', begin), diff.size());
    const std::string line = diff.substr(begin, end - begin);
    const Style style = line.empty()     ? Style::kPlain
                        : line[0] == '+' ? Style::kGood
                        : line[0] == '-' ? Style::kBad
                                         : Style::kPlain;
    out += Styled(terminal, style, line) + "\n";
    begin = end + 1;
  }
  return out;
}

absl::Status Diff(Context& context, const PromptOptions& options) {
  auto stub = registry::PromptService::NewStub(context.Channel());
  registry::DiffPromptVersionRequest request;
  ASSIGN_OR_RETURN(
      *request.mutable_name(),
      PromptVersionName(context, options.other.empty() ? options.prompt : options.other));
  if (!options.other.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_base(), PromptVersionName(context, options.prompt));
  }
  ASSIGN_OR_RETURN(const auto diff,
                   context.Call(stub, &PromptStub::DiffPromptVersion, request, true));
  if (context.PrintedJson(diff)) return absl::OkStatus();
  std::ostream& out = context.terminal().out;
  if (diff.changes().empty()) out << "no difference\n";
  for (const auto& change : diff.changes()) {
    out << Styled(context.terminal(), Style::kBold, change.field()) << "\n"
        << ColoredDiff(context.terminal(), change.diff());
  }
  if (diff.token_difference() != 0)
    out << absl::StrCat("about ", diff.token_difference() > 0 ? "+" : "", diff.token_difference(),
                        " tokens\n");
  return absl::OkStatus();
}

}  // namespace

void AddPrompt(CLI::App& app, Context& context) {
  auto options = std::make_shared<PromptOptions>();
  CLI::App* group = AddGroup(app, "prompt", "Prompts as hashed versions");
  CLI::App* create = AddCommand(
      *group, context, "create", "Store a prompt; the same content is the same version",
      "  crossover prompt create support/main --file prompt.yaml --note 'as in production'\n"
      "  crossover prompt create support/short --system 'Classify the ticket. Answer with one "
      "word.'",
      [&context, options] { return CreatePrompt(context, *options); });
  create->add_option("prompt", options->prompt, "TASK/PROMPT")->required();
  create->add_option("--file", options->file, "YAML file with the fields of PromptSpec")
      ->check(CLI::ExistingFile);
  create->add_option("--system", options->system, "System message; the request follows it");
  AddSet(create, context, options->settings, registry::PromptSpec::descriptor(),
         "FIELD=VALUE of PromptSpec; may be given again");
  create->add_option("--note", options->note, "Why it was made");
  AddCommand(*group, context, "list", "List prompts, or the versions of one",
             "  crossover prompt list\n  crossover prompt list support\n  crossover prompt list "
             "support/main",
             [&context, options] { return ListPrompts(context, *options); })
      ->add_option("name", options->prompt, "TASK or TASK/PROMPT");
  AddCommand(*group, context, "show", "Show a version; without @VERSION the one in use",
             "  crossover prompt show support/main@3f2a",
             [&context, options] { return ShowPrompt(context, *options); })
      ->add_option("prompt", options->prompt, "TASK/PROMPT[@VERSION]")
      ->required();
  CLI::App* activate =
      AddCommand(*group, context, "activate", "Put a version into use",
                 "  crossover prompt activate support/main@3f2a --evaluation 06bq3f…\n"
                 "  crossover prompt activate support/main@3f2a --override 'first version'",
                 [&context, options] { return Activate(context, *options); });
  activate->add_option("prompt", options->prompt, "TASK/PROMPT@VERSION")->required();
  activate->add_option("--evaluation", options->evaluation, "Evaluation run that measured it");
  activate->add_option("--override", options->override_reason, "Why it goes into use unmeasured");
  CLI::App* rollback =
      AddCommand(*group, context, "rollback", "Put the version before into use again", "",
                 [&context, options] { return Rollback(context, *options); });
  rollback->add_option("prompt", options->prompt, "TASK/PROMPT")->required();
  rollback->add_option("--reason", options->reason, "Why")->required();
  CLI::App* diff = AddCommand(*group, context, "diff",
                              "What differs between two versions, or from a version's parent",
                              "  crossover prompt diff support/main@3f2a support/main@77b0",
                              [&context, options] { return Diff(context, *options); });
  diff->add_option("old", options->prompt, "TASK/PROMPT@VERSION")->required();
  diff->add_option("new", options->other, "TASK/PROMPT@VERSION");
}

}  // namespace crossover::cli
