#include "cli/client/names.h"

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/client/nearest.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "common/status/error.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "crossover/evaluation/v1/suite_service.grpc.pb.h"
#include "crossover/registry/v1/prompt_service.grpc.pb.h"
#include "crossover/registry/v1/task_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace curation_pb = ::crossover::curation::v1;
namespace evaluation = ::crossover::evaluation::v1;
namespace registry = ::crossover::registry::v1;

bool IsFullName(std::string_view name) { return name.rfind("projects/", 0) == 0; }

absl::Status NotThere(const std::string& message) {
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", message);
}

// Picks the one of `names` (…/versions/{digest}, newest first) whose digest begins with `prefix`.
// `list`: the command that lists them.
absl::StatusOr<std::string> PickVersion(const std::vector<std::string>& names,
                                        std::string_view prefix, const std::string& parent,
                                        const std::string& list) {
  const std::string wanted =
      prefix.rfind("sha256:", 0) == 0 ? std::string(prefix) : "sha256:" + std::string(prefix);
  std::vector<std::string> found;
  std::vector<std::string> known;
  for (const std::string& name : names) {
    if (IdOf(name).rfind(wanted, 0) == 0) found.push_back(name);
    known.push_back(ShortDigest(IdOf(name)));
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    return NotThere(
        absl::StrCat(parent, " has no version ", std::string(prefix), "; ",
                     known.empty() ? "it has none yet" : InsteadOf(wanted, known, list, "")));
  }
  return UsageError(absl::StrCat(found.size(), " versions of ", parent, " begin with ",
                                 std::string(prefix), "; give more digits"));
}

bool IsVersionName(std::string_view name) {
  return IsFullName(name) && name.find("/versions/") != std::string_view::npos;
}

// "support/main" of projects/default/tasks/support/prompts/main.
std::string PromptLabel(std::string_view name) {
  constexpr std::string_view kTasks = "/tasks/", kPrompts = "/prompts/";
  const size_t task = name.find(kTasks), prompt = name.find(kPrompts);
  if (task == std::string_view::npos || prompt == std::string_view::npos) return std::string(name);
  const size_t begin = task + kTasks.size();
  return absl::StrCat(std::string(name.substr(begin, prompt - begin)), "/",
                      std::string(name.substr(prompt + kPrompts.size())));
}

absl::Status NoSuchPrompt(Context& context, const std::string& prompt) {
  auto stub = registry::PromptService::NewStub(context.Channel());
  registry::ListPromptsRequest request;
  request.set_parent(context.Project() + "/tasks/-");
  const auto list = context.ListAll(stub, &registry::PromptService::Stub::ListPrompts, request,
                                    [](auto& page) { return page.mutable_prompts(); });
  std::vector<std::string> known;
  if (list.ok()) {
    for (const auto& other : list->prompts()) known.push_back(PromptLabel(other.name()));
  }
  const std::string label = PromptLabel(prompt);
  return NotThere(absl::StrCat("there is no prompt '", label, "'; ",
                               InsteadOf(label, known, "crossover prompt list",
                                         "crossover prompt create TASK/PROMPT --file FILE")));
}

absl::Status NoSuchDataset(Context& context, const std::string& dataset) {
  auto stub = curation_pb::DatasetService::NewStub(context.Channel());
  curation_pb::ListDatasetsRequest request;
  request.set_parent(context.Project());
  const auto list = context.ListAll(stub, &curation_pb::DatasetService::Stub::ListDatasets, request,
                                    [](auto& page) { return page.mutable_datasets(); });
  std::vector<std::string> known;
  if (list.ok()) {
    for (const auto& other : list->datasets()) known.emplace_back(IdOf(other.name()));
  }
  const std::string id(IdOf(dataset));
  return NotThere(absl::StrCat(
      "there is no data set '", id, "'; ",
      InsteadOf(id, known, "crossover dataset list", "crossover dataset import NAME FILE")));
}

// A suite is there once a version of it is frozen.
absl::Status NoSuchSuite(Context& context, const std::string& suite) {
  auto stub = evaluation::SuiteService::NewStub(context.Channel());
  evaluation::ListSuiteVersionsRequest request;
  request.set_parent(context.Project() + "/suites/-");
  const auto list =
      context.ListAll(stub, &evaluation::SuiteService::Stub::ListSuiteVersions, request,
                      [](auto& page) { return page.mutable_suite_versions(); });
  std::set<std::string> slugs;
  if (list.ok()) {
    for (const auto& version : list->suite_versions()) {
      const std::string& name = version.name();
      slugs.emplace(IdOf(std::string_view(name).substr(0, name.find("/versions/"))));
    }
  }
  const std::string id(IdOf(suite));
  return NotThere(absl::StrCat("there is no suite '", id, "'; ",
                               InsteadOf(id, {slugs.begin(), slugs.end()}, "crossover suite list",
                                         "crossover suite freeze")));
}

}  // namespace

std::string_view IdOf(std::string_view name) {
  const size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

absl::StatusOr<std::string> FullName(const Context& context, std::string_view collection,
                                     std::string_view name) {
  if (name.empty())
    return UsageError(absl::StrCat("a name of ", std::string(collection), " is empty"));
  if (IsFullName(name)) return std::string(name);
  return absl::StrCat(context.Project(), "/", std::string(collection), "/", std::string(name));
}

Versioned SplitVersion(std::string_view text) {
  const size_t at = text.find('@');
  if (at == std::string_view::npos) return {std::string(text), ""};
  return {std::string(text.substr(0, at)), std::string(text.substr(at + 1))};
}

absl::StatusOr<std::string> TaskName(const Context& context, std::string_view text) {
  return FullName(context, "tasks", text);
}

absl::StatusOr<std::string> ExistingTaskName(Context& context, std::string_view text) {
  ASSIGN_OR_RETURN(const std::string name, TaskName(context, text));
  auto stub = registry::TaskService::NewStub(context.Channel());
  registry::GetTaskRequest get;
  get.set_name(name);
  const absl::Status found =
      context.Call(stub, &registry::TaskService::Stub::GetTask, get, true).status();
  // A key that may not read tasks may use them: the server has the last word.
  if (found.code() != absl::StatusCode::kNotFound) return name;
  registry::ListTasksRequest request;
  request.set_parent(context.Project());
  const auto list = context.ListAll(stub, &registry::TaskService::Stub::ListTasks, request,
                                    [](auto& page) { return page.mutable_tasks(); });
  std::vector<std::string> known;
  if (list.ok()) {
    for (const auto& task : list->tasks()) known.emplace_back(IdOf(task.name()));
  }
  const std::string id(IdOf(name));
  return NotThere(
      absl::StrCat("there is no task '", id, "'; ",
                   InsteadOf(id, known, "crossover task list", "crossover task create")));
}

absl::StatusOr<std::string> PromptName(const Context& context, std::string_view text) {
  if (IsFullName(text)) return std::string(text);
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == text.size()) {
    return UsageError(
        absl::StrCat("'", std::string(text),
                     "' is not a prompt's name; write TASK/PROMPT, such as support/main"));
  }
  return absl::StrCat(context.Project(), "/tasks/", std::string(text.substr(0, slash)), "/prompts/",
                      std::string(text.substr(slash + 1)));
}

absl::StatusOr<std::string> JobName(const Context& context, std::string_view text) {
  constexpr std::string_view kPrefix = "ftjob-";
  if (text.rfind(kPrefix, 0) == 0) text.remove_prefix(kPrefix.size());
  return FullName(context, "jobs", text);
}

absl::StatusOr<std::string> PromptVersionName(Context& context, std::string_view text) {
  if (IsVersionName(text)) return std::string(text);
  const Versioned wanted = SplitVersion(text);
  ASSIGN_OR_RETURN(const std::string prompt, PromptName(context, wanted.name));
  auto stub = registry::PromptService::NewStub(context.Channel());
  if (wanted.version.empty()) {
    registry::GetPromptRequest request;
    request.set_name(prompt);
    const auto found = context.Call(stub, &registry::PromptService::Stub::GetPrompt, request, true);
    if (absl::IsNotFound(found.status())) return NoSuchPrompt(context, prompt);
    RETURN_IF_ERROR(found.status());
    if (!found->active_version().empty()) return found->active_version();
    if (!found->latest_version().empty()) return found->latest_version();
    return NotThere(absl::StrCat(prompt, " has no version yet; `crossover prompt create ",
                                 PromptLabel(prompt), " --file FILE` makes one"));
  }
  registry::ListPromptVersionsRequest request;
  request.set_parent(prompt);
  const auto list =
      context.ListAll(stub, &registry::PromptService::Stub::ListPromptVersions, request,
                      [](auto& page) { return page.mutable_prompt_versions(); });
  if (absl::IsNotFound(list.status()) || (list.ok() && list->prompt_versions().empty()))
    return NoSuchPrompt(context, prompt);
  RETURN_IF_ERROR(list.status());
  std::vector<std::string> names;
  for (const auto& version : list->prompt_versions()) names.push_back(version.name());
  return PickVersion(names, wanted.version, prompt, "crossover prompt list " + PromptLabel(prompt));
}

absl::StatusOr<std::string> DatasetVersionName(Context& context, std::string_view text) {
  if (IsVersionName(text)) return std::string(text);
  const Versioned wanted = SplitVersion(text);
  ASSIGN_OR_RETURN(const std::string dataset, FullName(context, "datasets", wanted.name));
  auto stub = curation_pb::DatasetService::NewStub(context.Channel());
  curation_pb::ListDatasetVersionsRequest request;
  request.set_parent(dataset);
  ASSIGN_OR_RETURN(
      const auto list,
      context.ListAll(stub, &curation_pb::DatasetService::Stub::ListDatasetVersions, request,
                      [](auto& page) { return page.mutable_dataset_versions(); }));
  if (list.dataset_versions().empty()) {
    curation_pb::GetDatasetRequest get;
    get.set_name(dataset);
    const absl::Status found =
        context.Call(stub, &curation_pb::DatasetService::Stub::GetDataset, get, true).status();
    if (absl::IsNotFound(found)) return NoSuchDataset(context, dataset);
    return NotThere(
        absl::StrCat(dataset, " has no sealed version yet; make one with `crossover dataset seal ",
                     std::string(IdOf(dataset)), "`"));
  }
  if (wanted.version.empty()) return list.dataset_versions(0).name();
  std::vector<std::string> names;
  for (const auto& version : list.dataset_versions()) names.push_back(version.name());
  return PickVersion(names, wanted.version, dataset,
                     absl::StrCat("crossover dataset list ", std::string(IdOf(dataset))));
}

absl::StatusOr<std::string> SuiteVersionName(Context& context, std::string_view text) {
  if (IsVersionName(text)) return std::string(text);
  const Versioned wanted = SplitVersion(text);
  ASSIGN_OR_RETURN(const std::string suite, FullName(context, "suites", wanted.name));
  auto stub = evaluation::SuiteService::NewStub(context.Channel());
  evaluation::ListSuiteVersionsRequest request;
  request.set_parent(suite);
  ASSIGN_OR_RETURN(
      const auto list,
      context.ListAll(stub, &evaluation::SuiteService::Stub::ListSuiteVersions, request,
                      [](auto& page) { return page.mutable_suite_versions(); }));
  if (list.suite_versions().empty()) return NoSuchSuite(context, suite);
  if (wanted.version.empty()) return list.suite_versions(0).name();
  std::vector<std::string> names;
  for (const auto& version : list.suite_versions()) names.push_back(version.name());
  return PickVersion(names, wanted.version, suite,
                     absl::StrCat("crossover suite list ", std::string(IdOf(suite))));
}

}  // namespace crossover::cli
