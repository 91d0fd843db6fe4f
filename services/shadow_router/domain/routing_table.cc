#include "services/shadow_router/domain/routing_table.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/prompt/render.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/hash.h"
#include "services/shadow_router/domain/messages.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

// The prompt version's own defaults, below those of the system.
void AddPromptDefaults(const prompt::PromptSpec& spec, std::map<std::string, std::string>& fill) {
  const prompt::Sampling& sampling = spec.sampling;
  if (sampling.temperature) fill.emplace("temperature", Json(*sampling.temperature).dump());
  if (sampling.top_p) fill.emplace("top_p", Json(*sampling.top_p).dump());
  if (sampling.top_k) fill.emplace("top_k", Json(*sampling.top_k).dump());
  if (sampling.max_tokens) fill.emplace("max_tokens", Json(*sampling.max_tokens).dump());
  if (sampling.seed) fill.emplace("seed", Json(*sampling.seed).dump());
  if (!sampling.stop.empty()) fill.emplace("stop", Json(sampling.stop).dump());
  if (!spec.response_format.empty()) fill.emplace("response_format", spec.response_format);
}

// What the variant sets where a request leaves it unset.
std::map<std::string, std::string> SamplingOf(const ResolvedVariant& variant) {
  std::map<std::string, std::string> sampling = variant.system.sampling;
  if (variant.prompt != nullptr) AddPromptDefaults(*variant.prompt, sampling);
  return sampling;
}

absl::StatusOr<std::string> RenderMessages(const prompt::PromptSpec& spec,
                                           const ChatRequest& request) {
  const Json raw = Json::parse(request.Raw("messages"), nullptr, /*allow_exceptions=*/false);
  ASSIGN_OR_RETURN(const std::vector<dataset::Message> messages, MessagesFromJson(raw));
  ASSIGN_OR_RETURN(const std::vector<dataset::Message> rendered,
                   prompt::RenderChat(spec, messages, {}));
  return MessagesToJson(rendered).dump();
}

// A request that limits its answer by either name is left alone.
void DropOtherName(const ChatRequest& request, std::map<std::string, std::string>& fill) {
  if (request.Find("max_completion_tokens") != nullptr) fill.erase("max_tokens");
}

// `metadata` without the router's own keys; gone if nothing is left.
void CleanMetadata(const ChatRequest& request, Rewrite& rewrite) {
  const std::string_view raw = request.Raw("metadata");
  if (raw.empty() || raw.find("\"crossover_") == std::string_view::npos) return;
  if (request.metadata.empty()) {
    rewrite.remove.emplace_back("metadata");
  } else {
    rewrite.set["metadata"] = Json(request.metadata).dump();
  }
}

absl::StatusOr<Target> ResolveTarget(const System& system, Catalog& catalog,
                                     const ResolverOptions& options) {
  Target target;
  target.timeout = options.default_timeout;
  if (system.model.kind == ModelRef::Kind::kUpstream) {
    ASSIGN_OR_RETURN(const UpstreamInfo info, catalog.GetUpstream(system.model.upstream));
    target.name = LastSegment(system.model.upstream);
    target.base_url = info.base_url;
    target.api_key = info.api_key;
    target.prices = info.prices;
    target.leaves_house = info.data_processor;
    if (info.timeout > absl::ZeroDuration()) target.timeout = info.timeout;
  } else {
    target.name = "model-server";
    target.is_ours = true;
    target.base_url = options.model_server_url;
    target.api_key = options.model_server_key;
  }
  if (system.timeout > absl::ZeroDuration()) target.timeout = system.timeout;
  while (!target.base_url.empty() && target.base_url.back() == '/') target.base_url.pop_back();
  return target;
}

absl::StatusOr<ResolvedVariant> ResolveVariant(const std::string& name, const System& system,
                                               Catalog& catalog, const ResolverOptions& options) {
  ResolvedVariant variant{.name = name, .system = system};
  ASSIGN_OR_RETURN(variant.target, ResolveTarget(system, catalog, options));
  if (!system.prompt_version.empty()) {
    ASSIGN_OR_RETURN(const PromptInfo prompt, catalog.GetPrompt(system.prompt_version));
    variant.prompt = prompt.spec;
    variant.prompt_digest = prompt.digest;
    if (!prompt.version.empty()) variant.system.prompt_version = prompt.version;
  }
  variant.digest = SystemDigest(variant.system);
  return variant;
}

void ResolveTask(ResolvedRoute& resolved, Catalog& catalog) {
  if (resolved.route.task.empty()) return;
  absl::StatusOr<TaskInfo> task = catalog.GetTask(resolved.route.task);
  if (!task.ok()) {
    // Unknown policy: the strict default stays. The route is served all the same.
    resolved.problems.push_back(WithContext(task.status(), resolved.route.task));
    return;
  }
  resolved.task = *std::move(task);
  if (resolved.task.contract.empty()) return;
  absl::StatusOr<Validator> validator = Validator::Create(resolved.task.contract);
  if (validator.ok()) {
    resolved.validator = *std::move(validator);
  } else {
    resolved.problems.push_back(WithContext(validator.status(), resolved.route.task));
  }
}

}  // namespace

absl::StatusOr<std::string> BodyFor(const ResolvedVariant& variant, const ChatRequest& request,
                                    Purpose purpose) {
  Rewrite rewrite;
  rewrite.set["model"] = JsonString(variant.system.model.WireName());
  rewrite.fill = SamplingOf(variant);
  if (variant.prompt != nullptr) {
    ASSIGN_OR_RETURN(rewrite.set["messages"], RenderMessages(*variant.prompt, request));
  }
  DropOtherName(request, rewrite.fill);
  CleanMetadata(request, rewrite);
  if (purpose == Purpose::kMirror) {
    rewrite.set["store"] = "false";
    rewrite.set["stream"] = "false";
    rewrite.remove.emplace_back("stream_options");
    rewrite.remove.emplace_back("metadata");
    rewrite.set.erase("metadata");
  } else if (request.stream && !request.include_usage) {
    rewrite.set["stream_options"] = R"({"include_usage":true})";
  }
  return Apply(request, rewrite);
}

const ResolvedVariant* ResolvedRoute::Find(const std::string& name) const {
  const auto it = variants.find(name);
  return it == variants.end() ? nullptr : &it->second;
}

Provenance ResolvedRoute::CurrentProvenance() const {
  Provenance provenance{.config_version = route.config_version};
  if (const ResolvedVariant* primary = Find(plan.reference)) {
    provenance.primary_system = primary->digest;
    provenance.primary_prompt = primary->prompt_digest;
    provenance.primary_sampling = SamplingOf(*primary);
  }
  if (const ResolvedVariant* candidate = Find(plan.candidate)) {
    provenance.candidate_system = candidate->digest;
    provenance.candidate_prompt = candidate->prompt_digest;
    provenance.candidate_sampling = SamplingOf(*candidate);
  }
  Json graders = Json::array();
  for (const ComparatorSpec& spec : comparators) graders.push_back(ComparatorVersion(spec));
  if (validator) graders.push_back(validator->version());
  provenance.comparators = JsonDigest(graders);
  return provenance;
}

void RoutingTable::Add(std::shared_ptr<const ResolvedRoute> route) {
  std::string name = route->route.name;
  routes_[std::move(name)] = std::move(route);
}

std::shared_ptr<const ResolvedRoute> RoutingTable::Find(std::string_view model,
                                                        std::string_view project) const {
  const std::string prefix = absl::StrCat(ToAbsl(project), "/routes/");
  const bool whole = model.find('/') != std::string_view::npos;
  const auto it = routes_.find(whole ? std::string(model) : prefix + std::string(model));
  if (it == routes_.end() || it->first.rfind(prefix, 0) != 0) return nullptr;
  return it->second;
}

std::vector<std::string> RoutingTable::Names(std::string_view project) const {
  std::vector<std::string> names;
  for (const auto& [name, route] : routes_) {
    if (ProjectOf(name) == project) names.push_back(LastSegment(name));
  }
  return names;
}

std::vector<ComparatorSpec> ComparatorsFor(const std::optional<Experiment>& experiment,
                                           const TaskInfo& task) {
  if (experiment && !experiment->comparators.empty()) return experiment->comparators;
  if (!task.comparators.empty()) return task.comparators;
  if (!task.contract.json_schema.empty()) return {{.kind = ComparatorSpec::Kind::kJson}};
  return {{.kind = ComparatorSpec::Kind::kText}};
}

std::shared_ptr<const ResolvedRoute> ResolveRoute(const Route& route,
                                                  const std::optional<Experiment>& experiment,
                                                  Catalog& catalog,
                                                  const ResolverOptions& options) {
  auto resolved = std::make_shared<ResolvedRoute>();
  resolved->route = route;
  ResolveTask(*resolved, catalog);
  for (const auto& [name, system] : route.variants) {
    absl::StatusOr<ResolvedVariant> variant = ResolveVariant(name, system, catalog, options);
    if (variant.ok()) {
      resolved->variants.emplace(name, *std::move(variant));
      continue;
    }
    absl::Status why =
        WithContext(variant.status(), absl::StrCat("variant '", name, "' of route ", route.name));
    (name == route.primary ? resolved->status : resolved->problems.emplace_back()) = std::move(why);
  }
  resolved->comparators = ComparatorsFor(experiment, resolved->task);
  if (experiment) {
    const TrafficPlan plan = PlanFor(*experiment);
    // An experiment whose variants can't be called bends nothing: the primary answers.
    if (resolved->Find(plan.candidate) != nullptr && resolved->Find(plan.reference) != nullptr) {
      resolved->plan = plan;
      resolved->experiment = experiment;
    }
  }
  return resolved;
}

}  // namespace crossover::router
