// crossover task: what prompts and adapters are for.
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
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "crossover/registry/v1/task_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace registry = ::crossover::registry::v1;
using TaskStub = registry::TaskService::Stub;

struct TaskOptions {
  std::string task;
  std::string file;
  std::vector<std::string> settings;
};

std::string ContractText(const registry::OutputContract& contract) {
  switch (contract.shape_case()) {
    case registry::OutputContract::kLabelSet:
      return absl::StrCat("one of ", contract.label_set().labels_size(), " labels");
    case registry::OutputContract::kJsonSchema:
      return "JSON by schema";
    case registry::OutputContract::kText:
      return "text: " + contract.text();
    case registry::OutputContract::SHAPE_NOT_SET:
      break;
  }
  return "";
}

std::string TargetsText(const registry::Targets& targets) {
  std::vector<std::string> parts;
  if (targets.has_score()) parts.push_back("score " + Share(targets.score()));
  if (targets.has_format_valid()) parts.push_back("format " + Share(targets.format_valid()));
  if (targets.has_latency_p50()) parts.push_back("p50 " + Length(targets.latency_p50()));
  if (targets.has_latency_p99()) parts.push_back("p99 " + Length(targets.latency_p99()));
  if (targets.has_cost_per_request())
    parts.push_back("cost " + Amount(targets.cost_per_request()) + " a request");
  return absl::StrJoin(parts, ", ");
}

void AddVolume(const registry::Volume& volume, Details& details) {
  std::vector<std::string> parts;
  if (volume.requests_per_day() > 0)
    parts.push_back(Number(volume.requests_per_day()) + " requests a day");
  if (volume.tokens_per_month() > 0)
    parts.push_back(Number(volume.tokens_per_month()) + " tokens a month");
  if (!parts.empty()) details.Add("volume", absl::StrJoin(parts, ", ") + " (declared)");
}

// What nobody can measure: each is marked as somebody's word.
void AddDeclared(const registry::DeclaredFacts& facts, Details& details) {
  const auto add = [&details](const char* name, const std::string& value) {
    if (!value.empty()) details.Add(name, value + " (declared)");
  };
  if (facts.has_developer_hours()) add("developer", Number(facts.developer_hours()) + " hours");
  if (facts.urgency() != registry::DeclaredFacts::URGENCY_UNSPECIFIED)
    add("urgency", EnumWord(registry::DeclaredFacts::Urgency_Name(facts.urgency())));
  if (facts.has_horizon()) add("horizon", Length(facts.horizon()));
  if (facts.has_monthly_spend()) add("spend", Amount(facts.monthly_spend()) + " a month today");
  if (facts.has_monthly_operations())
    add("operations", Amount(facts.monthly_operations()) + " a month for the tuned model");
  if (facts.has_labelling_cost()) add("labelling", Amount(facts.labelling_cost()));
  if (facts.has_prompt_unchanged_since())
    add("prompt", "unchanged since " + Moment(facts.prompt_unchanged_since()));
  add("symptoms", absl::StrJoin(facts.symptoms(), ", "));
  std::vector<std::string> traits;
  if (facts.on_device()) traits.push_back("on the user's device");
  if (facts.regulated()) traits.push_back("regulated");
  if (facts.knowledge_changes()) traits.push_back("knowledge changes");
  if (facts.deep_reasoning()) traits.push_back("deep reasoning");
  if (facts.clean_dataset_exists()) traits.push_back("a clean data set exists");
  add("traits", absl::StrJoin(traits, ", "));
}

void PrintTask(Context& context, const registry::Task& task) {
  Details details;
  details.Add("task", task.name());
  details.Add("title", task.display_name());
  details.Add("about", task.description());
  details.Add("state", EnumWord(registry::Task::State_Name(task.state())));
  details.Add("owner", task.owner().empty() ? "nobody yet" : task.owner() + " (declared)");
  details.Add("retraining", task.retraining_plan().empty()
                                ? "no plan yet"
                                : task.retraining_plan() + " (declared)");
  details.Add("answer", ContractText(task.output_contract()));
  const std::string targets = TargetsText(task.targets());
  details.Add("targets", targets.empty() ? "" : targets + " (declared)");
  AddVolume(task.volume(), details);
  AddDeclared(task.declared(), details);
  for (const auto& mode : task.failure_modes())
    details.Add("fails", mode.name() + ": " + mode.description());
  context.terminal().out << details.Render(context.terminal());
}

absl::Status CreateTask(Context& context, const TaskOptions& options) {
  auto stub = registry::TaskService::NewStub(context.Channel());
  registry::CreateTaskRequest request;
  request.set_parent(context.Project());
  request.set_task_id(options.task);
  request.set_request_id(context.RequestId());
  if (!options.file.empty()) RETURN_IF_ERROR(ReadSpecFile(options.file, request.mutable_task()));
  RETURN_IF_ERROR(ApplyAssignments(options.settings, request.mutable_task()));
  ASSIGN_OR_RETURN(const registry::Task task,
                   context.Call(stub, &TaskStub::CreateTask, request, true));
  if (!context.PrintedJson(task)) PrintTask(context, task);
  return absl::OkStatus();
}

absl::Status Update(Context& context, const TaskOptions& options) {
  auto stub = registry::TaskService::NewStub(context.Channel());
  registry::UpdateTaskRequest request;
  if (!options.file.empty()) RETURN_IF_ERROR(ReadSpecFile(options.file, request.mutable_task()));
  RETURN_IF_ERROR(ApplyAssignments(options.settings, request.mutable_task()));
  ASSIGN_OR_RETURN(*request.mutable_task()->mutable_name(),
                   ExistingTaskName(context, options.task));
  ASSIGN_OR_RETURN(const registry::Task task, context.Call(stub, &TaskStub::UpdateTask, request));
  if (!context.PrintedJson(task)) PrintTask(context, task);
  return absl::OkStatus();
}

absl::Status ShowTask(Context& context, const TaskOptions& options) {
  auto stub = registry::TaskService::NewStub(context.Channel());
  registry::GetTaskRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), ExistingTaskName(context, options.task));
  ASSIGN_OR_RETURN(const registry::Task task,
                   context.Call(stub, &TaskStub::GetTask, request, true));
  if (!context.PrintedJson(task)) PrintTask(context, task);
  return absl::OkStatus();
}

absl::Status ListTasks(Context& context) {
  auto stub = registry::TaskService::NewStub(context.Channel());
  registry::ListTasksRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &TaskStub::ListTasks, request,
                                   [](auto& page) { return page.mutable_tasks(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"TASK"},
               {"STATE"},
               {"OWNER"},
               {"ANSWER", Align::kLeft, true},
               {"TARGETS", Align::kLeft, true},
               {"CREATED"}});
  for (const registry::Task& task : list.tasks()) {
    table.AddRow({std::string(IdOf(task.name())),
                  EnumWord(registry::Task::State_Name(task.state())), task.owner(),
                  ContractText(task.output_contract()), TargetsText(task.targets()),
                  Ago(task.create_time(), context.Now())});
  }
  context.terminal().out << (table.empty() ? "no tasks yet; `crossover task create` makes one\n"
                                           : table.Render(context.terminal()));
  return absl::OkStatus();
}

}  // namespace

void AddTask(CLI::App& app, Context& context) {
  auto options = std::make_shared<TaskOptions>();
  CLI::App* group = AddGroup(app, "task", "Tasks: owner, targets, volume, prices");
  const auto with_task = [&](const std::string& name, const std::string& about,
                             const std::string& examples, std::function<absl::Status()> run) {
    CLI::App* command = AddCommand(*group, context, name, about, examples, std::move(run));
    command->add_option("task", options->task, "Slug or name")->required();
    return command;
  };
  const auto with_spec = [&](CLI::App* command) {
    command->add_option("--file", options->file, "YAML file with the fields of Task")
        ->check(CLI::ExistingFile);
    AddSet(command, context, options->settings, registry::Task::descriptor(),
           "FIELD=VALUE; may be given again");
  };
  with_spec(with_task("create", "Create a task",
                      "  crossover task create support --file task.yaml\n"
                      "  crossover task create support --set owner=ml-team --set targets.score=0.9",
                      [&context, options] { return CreateTask(context, *options); }));
  with_spec(with_task("update", "Change fields of a task",
                      "  crossover task update support --set volume.requests_per_day=3000",
                      [&context, options] { return Update(context, *options); }));
  with_task("show", "Show a task", "", [&context, options] { return ShowTask(context, *options); });
  AddCommand(*group, context, "list", "List tasks", "", [&context] { return ListTasks(context); });
}

}  // namespace crossover::cli
