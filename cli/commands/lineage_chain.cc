#include "cli/commands/lineage_chain.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
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

bool Has(const std::string& name, std::string_view part) {
  return name.find(part) != std::string::npos;
}

// Whether a system's model is this version. A run's systems carry digests; a route keeps the name
// that its owner gave it.
bool IsCalled(const scheduler::ModelVersion& version, const type::v1::LocalModel& local) {
  if (!local.digest().empty()) return local.digest() == version.digest();
  const std::string& name = local.model();
  if (name.empty()) return false;
  const bool is_base = version.kind() == scheduler::ModelVersion::BASE;
  return name == version.digest() || name == version.alias() || name == version.name() ||
         (is_base && Has(version.name(), "/models/" + name + "/versions/"));
}

}  // namespace

absl::StatusOr<Node> Chain::MadeFrom(const std::string& name) {
  seen_.clear();
  return Visit(name, kMostLevels, true);
}

absl::StatusOr<Node> Chain::UsedBy(const std::string& name) {
  seen_.clear();
  return Visit(name, kMostLevels, false);
}

void Chain::Add(Node& parent, const std::string& name, int levels, bool back) {
  if (name.empty() || levels == 0) return;
  auto child = Visit(name, levels - 1, back);
  parent.children.push_back(child.ok()
                                ? *std::move(child)
                                : Node{"missing", name, std::string(child.status().message()), {}});
}

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
  if (system.has_base_model())
    Add(parent, models + digest_or_name(system.base_model()), levels, true);
  if (system.has_upstream()) {
    parent.children.push_back(
        {"upstream",
         system.upstream().upstream(),
         absl::StrCat(system.upstream().model(), " ", system.upstream().revision()),
         {}});
  }
}

absl::StatusOr<Node> Chain::VisitModel(const std::string& name, int levels, bool back) {
  auto stub = scheduler::ModelService::NewStub(context_.Channel());
  scheduler::GetModelVersionRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(
      const auto model,
      context_.Call(stub, &scheduler::ModelService::Stub::GetModelVersion, request, true));
  const bool is_base = model.kind() == scheduler::ModelVersion::BASE;
  Node node{is_base ? "base model" : EnumWord(scheduler::ModelVersion::Kind_Name(model.kind())),
            model.digest(),
            model.alias(),
            {}};
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
    ASSIGN_OR_RETURN(const auto above,
                     context_.ListAll(stub, &scheduler::ModelService::Stub::ListModelVersions, list,
                                      [](auto& page) { return page.mutable_model_versions(); }));
    for (const auto& version : above.model_versions()) Add(node, version.name(), levels, back);
  }
  RETURN_IF_ERROR(AddUsers(node, [&](const type::v1::System& system) {
    return IsCalled(model, system.adapter()) || IsCalled(model, system.base_model());
  }));
  return node;
}

absl::StatusOr<Node> Chain::VisitJob(const std::string& name, int levels, bool back) {
  auto stub = scheduler::JobService::NewStub(context_.Channel());
  scheduler::GetJobRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto job,
                   context_.Call(stub, &scheduler::JobService::Stub::GetJob, request, true));
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
  ASSIGN_OR_RETURN(
      const auto version,
      context_.Call(stub, &curation::DatasetService::Stub::GetDatasetVersion, request, true));
  int64_t rows = 0;
  for (const auto& split : version.counts()) rows += split.rows();
  Node node{"data set", version.name(), Count(rows) + " rows", {}};
  if (back) {
    Add(node, version.parent(), levels, back);
    Add(node, version.run(), levels, back);
    for (const auto& source : version.sources())
      node.children.push_back({"source", source.digest(), source.uri(), {}});
    return node;
  }
  curation::ListAdaptersRequest list;
  list.set_parent(version.name());
  ASSIGN_OR_RETURN(const auto adapters,
                   context_.ListAll(stub, &curation::DatasetService::Stub::ListAdapters, list,
                                    [](auto& page) { return page.mutable_adapters(); }));
  for (const auto& adapter : adapters.adapters()) Add(node, adapter.model_version(), levels, back);
  return node;
}

absl::StatusOr<Node> Chain::VisitCurationRun(const std::string& name, int levels, bool back) {
  auto stub = curation::CurationService::NewStub(context_.Channel());
  curation::GetCurationRunRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(
      const auto run,
      context_.Call(stub, &curation::CurationService::Stub::GetCurationRun, request, true));
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
  ASSIGN_OR_RETURN(
      const auto version,
      context_.Call(stub, &registry::PromptService::Stub::GetPromptVersion, request, true));
  Node node{"prompt", version.name(), version.note(), {}};
  if (back) {
    Add(node, version.parent(), levels, back);
    Add(node, version.spec().few_shot().dynamic().dataset_version(), levels, back);
    return node;
  }
  RETURN_IF_ERROR(AddUsers(node, [&](const type::v1::System& system) {
    return system.prompt_version() == version.name();
  }));
  return node;
}

absl::StatusOr<Node> Chain::VisitRun(const std::string& name, int levels, bool back) {
  auto stub = evaluation::EvaluationService::NewStub(context_.Channel());
  evaluation::GetRunRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto run, context_.Call(stub, &evaluation::EvaluationService::Stub::GetRun,
                                                 request, true));
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
  ASSIGN_OR_RETURN(
      const auto suite,
      context_.Call(stub, &evaluation::SuiteService::Stub::GetSuiteVersion, request, true));
  Node node{"suite", suite.name(), EnumWord(evaluation::SuiteVersion::Role_Name(suite.role())), {}};
  if (back) Add(node, suite.dataset().dataset_version(), levels, back);
  return node;
}

absl::StatusOr<Node> Chain::VisitRoute(const std::string& name, int levels, bool back) {
  auto stub = router::RouteService::NewStub(context_.Channel());
  router::GetRouteRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto route,
                   context_.Call(stub, &router::RouteService::Stub::GetRoute, request, true));
  Node node{"route", route.name(), "primary " + route.primary(), {}};
  if (!back) return node;
  const auto primary = route.variants().find(route.primary());
  if (primary != route.variants().end()) AddSystem(node, primary->second, levels);
  for (const auto& [variant, system] : route.variants()) {
    if (variant != route.primary()) AddSystem(node, system, levels);
  }
  return node;
}

absl::Status Chain::AddUsers(Node& parent,
                             const std::function<bool(const type::v1::System&)>& uses) {
  auto runs = evaluation::EvaluationService::NewStub(context_.Channel());
  evaluation::ListRunsRequest list_runs;
  list_runs.set_parent(context_.Project());
  ASSIGN_OR_RETURN(const auto all_runs,
                   context_.ListAll(runs, &evaluation::EvaluationService::Stub::ListRuns, list_runs,
                                    [](auto& page) { return page.mutable_runs(); }));
  for (const auto& run : all_runs.runs()) {
    if (std::any_of(run.systems().begin(), run.systems().end(), uses) &&
        seen_.insert(run.name()).second) {
      parent.children.push_back(
          {"evaluation", run.name(), EnumWord(evaluation::Run::State_Name(run.state())), {}});
    }
  }
  auto routes = router::RouteService::NewStub(context_.Channel());
  router::ListRoutesRequest list_routes;
  list_routes.set_parent(context_.Project());
  ASSIGN_OR_RETURN(const auto all_routes,
                   context_.ListAll(routes, &router::RouteService::Stub::ListRoutes, list_routes,
                                    [](auto& page) { return page.mutable_routes(); }));
  for (const auto& route : all_routes.routes()) {
    for (const auto& [variant, system] : route.variants()) {
      if (!uses(system)) continue;
      const bool is_primary = variant == route.primary();
      parent.children.push_back(
          {"route",
           route.name(),
           absl::StrCat("variant ", variant, is_primary ? ", the primary" : ""),
           {}});
    }
  }
  return absl::OkStatus();
}

}  // namespace crossover::cli
