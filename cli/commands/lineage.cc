// crossover lineage: what something was made from, and what was made from it.
#include <algorithm>
#include <functional>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/client/system_argument.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "common/status/error.h"
#include "crossover/curation/v1/curation_service.grpc.pb.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"
#include "crossover/evaluation/v1/suite_service.grpc.pb.h"
#include "crossover/registry/v1/prompt_service.grpc.pb.h"
#include "crossover/router/v1/route_service.grpc.pb.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace curation = ::crossover::curation::v1;
namespace evaluation = ::crossover::evaluation::v1;
namespace registry = ::crossover::registry::v1;
namespace router = ::crossover::router::v1;
namespace scheduler = ::crossover::scheduler::v1;

constexpr int kMostLevels = 8;

// Something in the chain. Its children depend on the direction.
struct Node {
  std::string kind;
  std::string name;  // resource name or digest
  std::string note;
  std::vector<Node> children;
};

// Follows references with the public RPCs. Each thing is printed once; a second mention has no children.
class Chain {
 public:
  explicit Chain(Context& context) : context_(context) {}

  absl::StatusOr<Node> MadeFrom(const std::string& name) { return Visit(name, kMostLevels, true); }
  absl::StatusOr<Node> UsedBy(const std::string& name) {
    seen_.clear();
    return Visit(name, kMostLevels, false);
  }

 private:
  absl::StatusOr<Node> Visit(const std::string& name, int levels, bool back);

  // Adds a child for `name`; a thing that cannot be read any more is shown as such.
  void Add(Node& parent, const std::string& name, int levels, bool back) {
    if (name.empty() || levels == 0) return;
    auto child = Visit(name, levels - 1, back);
    parent.children.push_back(child.ok() ? *std::move(child)
                                         : Node{"missing", name, std::string(child.status().message()), {}});
  }
  void AddSystem(Node& parent, const type::v1::System& system, int levels);

  absl::StatusOr<Node> VisitModel(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitJob(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitDataset(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitCurationRun(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitPrompt(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitRun(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitSuite(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitRoute(const std::string& name, int levels, bool back);

  // Runs and routes whose systems `uses` says yes to.
  absl::Status AddUsers(Node& parent, const std::function<bool(const type::v1::System&)>& uses);

  Context& context_;
  std::set<std::string> seen_;
};

bool Has(const std::string& name, std::string_view part) { return name.find(part) != std::string::npos; }

absl::StatusOr<Node> Chain::Visit(const std::string& name, int levels, bool back) {
  if (!seen_.insert(name).second) return Node{"see above", name, "", {}};
  if (Has(name, "/models/")) return VisitModel(name, levels, back);
  if (Has(name, "/jobs/")) return VisitJob(name, levels, back);
  if (Has(name, "/datasets/") && Has(name, "/versions/")) return VisitDataset(name, levels, back);
  if (Has(name, "/datasets/") && Has(name, "/runs/")) return VisitCurationRun(name, levels, back);
  if (Has(name, "/prompts/")) return VisitPrompt(name, levels, back);
  if (Has(name, "/suites/")) return VisitSuite(name, levels, back);
  if (Has(name, "/runs/")) return VisitRun(name, levels, back);
  if (Has(name, "/routes/")) return VisitRoute(name, levels, back);
  return UsageError("lineage does not know things called " + name);
}

void Chain::AddSystem(Node& parent, const type::v1::System& system, int levels) {
  Add(parent, system.prompt_version(), levels, true);
  const std::string models = context_.Project() + "/models/-/versions/";
  const auto digest_or_name = [](const type::v1::LocalModel& model) {
    return model.digest().empty() ? model.model() : model.digest();
  };
  if (system.has_adapter()) Add(parent, models + digest_or_name(system.adapter()), levels, true);
  if (system.has_base_model()) Add(parent, models + digest_or_name(system.base_model()), levels, true);
  if (system.has_upstream()) {
    parent.children.push_back({"upstream", system.upstream().upstream(),
                               absl::StrCat(system.upstream().model(), " ", system.upstream().revision()), {}});
  }
}

absl::StatusOr<Node> Chain::VisitModel(const std::string& name, int levels, bool back) {
  auto stub = scheduler::ModelService::NewStub(context_.Channel());
  scheduler::GetModelVersionRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto model, context_.Call(stub, &scheduler::ModelService::Stub::GetModelVersion, request, true));
  const bool is_base = model.kind() == scheduler::ModelVersion::BASE;
  Node node{is_base ? "base model" : EnumWord(scheduler::ModelVersion::Kind_Name(model.kind())), model.digest(), model.alias(), {}};
  seen_.insert(model.name());
  if (back) {
    if (!model.source_job().empty()) {
      Add(node, model.source_job(), levels, back);
    } else if (!model.base_digest().empty()) {
      Add(node, context_.Project() + "/models/-/versions/" + model.base_digest(), levels, back);
    }
    return node;
  }
  if (is_base) {
    scheduler::ListModelVersionsRequest list;
    list.set_parent(context_.Project() + "/models/-");
    list.set_filter(absl::StrCat("base_digest = \"", model.digest(), "\""));
    ASSIGN_OR_RETURN(const auto above, context_.ListAll(stub, &scheduler::ModelService::Stub::ListModelVersions, list,
                                                        [](auto& page) { return page.mutable_model_versions(); }));
    for (const auto& version : above.model_versions()) Add(node, version.name(), levels, back);
  }
  RETURN_IF_ERROR(AddUsers(node, [&](const type::v1::System& system) {
    return system.adapter().digest() == model.digest() || system.base_model().digest() == model.digest();
  }));
  return node;
}

absl::StatusOr<Node> Chain::VisitJob(const std::string& name, int levels, bool back) {
  auto stub = scheduler::JobService::NewStub(context_.Channel());
  scheduler::GetJobRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto job, context_.Call(stub, &scheduler::JobService::Stub::GetJob, request, true));
  Node node{"job", job.name(), EnumWord(scheduler::Job::State_Name(job.state())), {}};
  const std::string models = context_.Project() + "/models/-/versions/";
  if (back) {
    Add(node, job.dataset_version(), levels, back);
    const std::string& base = job.resolved_spec().training().base_model_digest();
    Add(node, models + (base.empty() ? job.base_model() : base), levels, back);
  } else if (!job.outputs().adapter().empty()) {
    Add(node, models + job.outputs().adapter(), levels, back);
  }
  return node;
}

absl::StatusOr<Node> Chain::VisitDataset(const std::string& name, int levels, bool back) {
  auto stub = curation::DatasetService::NewStub(context_.Channel());
  curation::GetDatasetVersionRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto version, context_.Call(stub, &curation::DatasetService::Stub::GetDatasetVersion, request, true));
  int64_t rows = 0;
  for (const auto& split : version.counts()) rows += split.rows();
  Node node{"data set", version.name(), Count(rows) + " rows", {}};
  if (back) {
    Add(node, version.parent(), levels, back);
    Add(node, version.run(), levels, back);
    for (const auto& source : version.sources()) node.children.push_back({"source", source.digest(), source.uri(), {}});
    return node;
  }
  curation::ListAdaptersRequest list;
  list.set_parent(version.name());
  ASSIGN_OR_RETURN(const auto adapters, context_.ListAll(stub, &curation::DatasetService::Stub::ListAdapters, list,
                                                         [](auto& page) { return page.mutable_adapters(); }));
  for (const auto& adapter : adapters.adapters()) Add(node, adapter.model_version(), levels, back);
  return node;
}

absl::StatusOr<Node> Chain::VisitCurationRun(const std::string& name, int levels, bool back) {
  auto stub = curation::CurationService::NewStub(context_.Channel());
  curation::GetCurationRunRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto run, context_.Call(stub, &curation::CurationService::Stub::GetCurationRun, request, true));
  Node node{"curation run", run.name(), "recipe " + ShortDigest(run.recipe_digest()), {}};
  if (!back) {
    Add(node, run.dataset_version(), levels, back);
    return node;
  }
  for (const auto& input : run.inputs()) {
    if (!input.file().empty()) node.children.push_back({"file", input.file(), input.split(), {}});
    Add(node, input.dataset_version(), levels, back);
    Add(node, input.prompt_version(), levels, back);
  }
  return node;
}

absl::StatusOr<Node> Chain::VisitPrompt(const std::string& name, int levels, bool back) {
  auto stub = registry::PromptService::NewStub(context_.Channel());
  registry::GetPromptVersionRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto version, context_.Call(stub, &registry::PromptService::Stub::GetPromptVersion, request, true));
  Node node{"prompt", version.name(), version.note(), {}};
  if (back) {
    Add(node, version.parent(), levels, back);
    Add(node, version.spec().few_shot().dynamic().dataset_version(), levels, back);
    return node;
  }
  RETURN_IF_ERROR(AddUsers(node, [&](const type::v1::System& system) { return system.prompt_version() == version.name(); }));
  return node;
}

absl::StatusOr<Node> Chain::VisitRun(const std::string& name, int levels, bool back) {
  auto stub = evaluation::EvaluationService::NewStub(context_.Channel());
  evaluation::GetRunRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto run, context_.Call(stub, &evaluation::EvaluationService::Stub::GetRun, request, true));
  Node node{"evaluation", run.name(), EnumWord(evaluation::Run::State_Name(run.state())), {}};
  if (!back) return node;
  Add(node, run.suite_version(), levels, back);
  for (const auto& system : run.systems()) AddSystem(node, system, levels);
  return node;
}

absl::StatusOr<Node> Chain::VisitSuite(const std::string& name, int levels, bool back) {
  auto stub = evaluation::SuiteService::NewStub(context_.Channel());
  evaluation::GetSuiteVersionRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto suite, context_.Call(stub, &evaluation::SuiteService::Stub::GetSuiteVersion, request, true));
  Node node{"suite", suite.name(), EnumWord(evaluation::SuiteVersion::Role_Name(suite.role())), {}};
  if (back) Add(node, suite.dataset().dataset_version(), levels, back);
  return node;
}

absl::StatusOr<Node> Chain::VisitRoute(const std::string& name, int levels, bool back) {
  auto stub = router::RouteService::NewStub(context_.Channel());
  router::GetRouteRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto route, context_.Call(stub, &router::RouteService::Stub::GetRoute, request, true));
  Node node{"route", route.name(), "primary " + route.primary(), {}};
  if (!back) return node;
  const auto primary = route.variants().find(route.primary());
  if (primary != route.variants().end()) AddSystem(node, primary->second, levels);
  for (const auto& [variant, system] : route.variants()) {
    if (variant != route.primary()) AddSystem(node, system, levels);
  }
  return node;
}

absl::Status Chain::AddUsers(Node& parent, const std::function<bool(const type::v1::System&)>& uses) {
  auto runs = evaluation::EvaluationService::NewStub(context_.Channel());
  evaluation::ListRunsRequest list_runs;
  list_runs.set_parent(context_.Project());
  ASSIGN_OR_RETURN(const auto all_runs, context_.ListAll(runs, &evaluation::EvaluationService::Stub::ListRuns, list_runs,
                                                         [](auto& page) { return page.mutable_runs(); }));
  for (const auto& run : all_runs.runs()) {
    if (std::any_of(run.systems().begin(), run.systems().end(), uses) && seen_.insert(run.name()).second) {
      parent.children.push_back({"evaluation", run.name(), EnumWord(evaluation::Run::State_Name(run.state())), {}});
    }
  }
  auto routes = router::RouteService::NewStub(context_.Channel());
  router::ListRoutesRequest list_routes;
  list_routes.set_parent(context_.Project());
  ASSIGN_OR_RETURN(const auto all_routes, context_.ListAll(routes, &router::RouteService::Stub::ListRoutes, list_routes,
                                                           [](auto& page) { return page.mutable_routes(); }));
  for (const auto& route : all_routes.routes()) {
    for (const auto& [variant, system] : route.variants()) {
      if (!uses(system)) continue;
      const bool is_primary = variant == route.primary();
      parent.children.push_back({"route", route.name(), absl::StrCat("variant ", variant, is_primary ? ", the primary" : ""), {}});
    }
  }
  return absl::OkStatus();
}

// What X may be called: asks for each kind until one is there.
absl::StatusOr<std::string> Resolve(Context& context, const std::string& text) {
  if (text.rfind("projects/", 0) == 0) return text;
  const std::string project = context.Project();
  std::vector<std::string> guesses;
  if (text.find('@') != std::string::npos) {
    return text.find('/') != std::string::npos ? PromptVersionName(context, text) : DatasetVersionName(context, text);
  }
  guesses.push_back(project + "/models/-/versions/" + text);
  if (text.rfind("sha256:", 0) == 0) {
    guesses.push_back(project + "/datasets/-/versions/" + text);
    guesses.push_back(project + "/tasks/-/prompts/-/versions/" + text);
    guesses.push_back(project + "/suites/-/versions/" + text);
  } else {
    guesses.push_back(project + "/routes/" + text);
    ASSIGN_OR_RETURN(guesses.emplace_back(), JobName(context, text));
    guesses.push_back(project + "/runs/" + text);
  }
  for (const std::string& guess : guesses) {
    const auto node = Chain(context).MadeFrom(guess);
    if (node.ok()) return guess;
    if (HasReason(node.status(), kUnreachable)) return node.status();
  }
  if (auto version = DatasetVersionName(context, text); version.ok()) return version;
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("nothing is called '", text, "': no model, route, job, evaluation, data set or prompt"));
}

void PrintTree(std::ostream& out, const Node& node, const std::string& indent, const std::string& branch) {
  out << branch << node.kind << "  " << node.name << (node.note.empty() ? "" : "  (" + node.note + ")") << "\n";
  for (size_t i = 0; i < node.children.size(); ++i) {
    const bool last = i + 1 == node.children.size();
    PrintTree(out, node.children[i], indent + (last ? "   " : "│  "), indent + (last ? "└─ " : "├─ "));
  }
}

nlohmann::ordered_json TreeJson(const Node& node) {
  nlohmann::ordered_json json = {{"kind", node.kind}, {"name", node.name}, {"note", node.note}};
  json["children"] = nlohmann::ordered_json::array();
  for (const Node& child : node.children) json["children"].push_back(TreeJson(child));
  return json;
}

absl::Status Run(Context& context, const std::string& text) {
  ASSIGN_OR_RETURN(const std::string name, Resolve(context, text));
  ASSIGN_OR_RETURN(const Node back, Chain(context).MadeFrom(name));
  ASSIGN_OR_RETURN(const Node forward, Chain(context).UsedBy(name));
  std::ostream& out = context.terminal().out;
  if (context.globals.json) {
    nlohmann::ordered_json json;
    json["made_from"] = TreeJson(back);
    json["used_by"] = TreeJson(forward);
    out << json.dump(1) << "\n";
    return absl::OkStatus();
  }
  out << Styled(context.terminal(), Style::kBold, "MADE FROM") << "\n";
  PrintTree(out, back, "", "");
  out << "\n" << Styled(context.terminal(), Style::kBold, "USED BY") << "\n";
  PrintTree(out, forward, "", "");
  return absl::OkStatus();
}

// Adapters that saw a row.
absl::Status RunRow(Context& context, const std::string& row) {
  auto stub = curation::DatasetService::NewStub(context.Channel());
  curation::ListAdaptersRequest request;
  request.set_parent(context.Project() + "/datasets/-/versions/-");
  request.set_row_digest(row);
  ASSIGN_OR_RETURN(const auto list, context.ListAll(stub, &curation::DatasetService::Stub::ListAdapters, request,
                                                    [](auto& page) { return page.mutable_adapters(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  if (list.adapters().empty()) context.terminal().out << "no adapter saw this row\n";
  for (const auto& adapter : list.adapters()) {
    context.terminal().out << adapter.digest() << "  " << adapter.alias() << "  through " << adapter.dataset_version() << "\n";
  }
  return absl::OkStatus();
}

struct Options {
  std::string thing;
  std::string row;
};

}  // namespace

void AddLineage(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(
      app, context, "lineage", "Show what something was made from, and what was made from it",
      "  crossover lineage sha256:48c2d8…                    an adapter, data set, prompt or base by its digest\n"
      "  crossover lineage support                           a route\n"
      "  crossover lineage --row sha256:9f3b…                which adapters saw this row?",
      [&context, options]() -> absl::Status {
        if (!options->row.empty()) return RunRow(context, options->row);
        if (options->thing.empty()) return UsageError("lineage of what? give a digest, alias, route, job or name");
        return Run(context, options->thing);
      });
  command->add_option("thing", options->thing, "Digest, alias, route, job, run, DATASET[@VERSION], TASK/PROMPT@VERSION or name");
  command->add_option("--row", options->row, "Row digest");
}

}  // namespace crossover::cli
