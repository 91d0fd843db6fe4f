// crossover route: what answers requests.
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/client/system_argument.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "crossover/router/v1/route_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace router = ::crossover::router::v1;
using router::Route;
using RouteStub = router::RouteService::Stub;

struct RouteOptions {
  std::string route;
  std::string task;
  std::string mode;
  std::string primary;
  std::string file;
  std::vector<std::string> variants;
  std::vector<std::string> fallbacks;
  std::vector<std::string> settings;
};

// Puts what the options say into a route; `changed` gets the top-level fields that were touched.
absl::Status Apply(Context& context, const RouteOptions& options, Route& route,
                   std::vector<std::string>& changed) {
  if (!options.file.empty()) {
    Route read;
    RETURN_IF_ERROR(ReadSpecFile(options.file, &read));
    std::vector<const google::protobuf::FieldDescriptor*> fields;
    read.GetReflection()->ListFields(read, &fields);
    for (const auto* field : fields) changed.push_back(field->name());
    route.MergeFrom(read);
  }
  if (!options.task.empty()) {
    ASSIGN_OR_RETURN(*route.mutable_task(), ExistingTaskName(context, options.task));
    changed.push_back("task");
  }
  if (!options.mode.empty()) {
    RETURN_IF_ERROR(ReadSpecText("mode: " + options.mode, "--mode", &route));
    changed.push_back("mode");
  }
  for (const std::string& text : options.variants) {
    const size_t colon = text.find(':');
    const size_t equals = text.find('=');
    if (colon == std::string::npos || colon > equals) {
      return UsageError(
          absl::StrCat("'", text, "' is not NAME:SYSTEM, such as tuned:adapter=sha256:48c2…"));
    }
    ASSIGN_OR_RETURN((*route.mutable_variants())[text.substr(0, colon)],
                     ReadSystem(context, text.substr(colon + 1)));
    changed.push_back("variants");
  }
  if (!options.primary.empty()) {
    route.set_primary(options.primary);
    changed.push_back("primary");
  }
  if (!options.fallbacks.empty()) {
    route.clear_fallbacks();
    for (const std::string& fallback : options.fallbacks) route.add_fallbacks(fallback);
    changed.push_back("fallbacks");
  }
  RETURN_IF_ERROR(ApplyAssignments(options.settings, &route));
  for (const std::string& setting : options.settings)
    changed.push_back(setting.substr(0, setting.find_first_of(".=")));
  return absl::OkStatus();
}

void PrintRoute(Context& context, const Route& route) {
  Details details;
  details.Add("route", route.name());
  details.Add("task", route.task());
  details.Add("mode", EnumWord(Route::Mode_Name(route.mode())));
  details.Add("fallbacks", absl::StrJoin(route.fallbacks(), ", "));
  details.Add("config", absl::StrCat("version ", route.config_version()));
  details.Add("experiment", route.experiment());
  if (route.candidate_weight() > 0)
    details.Add("candidate", Share(route.candidate_weight()) + " of requests");
  context.terminal().out << details.Render(context.terminal()) << "\n";
  Table table({{"VARIANT"}, {""}, {"SYSTEM", Align::kLeft, true}, {"DIGEST"}});
  const std::map<std::string, type::v1::System> sorted(route.variants().begin(),
                                                       route.variants().end());
  for (const auto& [name, system] : sorted) {
    table.AddRow({name, name == route.primary() ? "primary" : "", SystemLabel(system),
                  ShortDigest(system.digest())});
  }
  context.terminal().out << table.Render(context.terminal());
}

absl::Status CreateRoute(Context& context, const RouteOptions& options) {
  auto stub = router::RouteService::NewStub(context.Channel());
  router::CreateRouteRequest request;
  request.set_parent(context.Project());
  request.set_route_id(options.route);
  request.set_request_id(context.RequestId());
  std::vector<std::string> changed;
  Route& route = *request.mutable_route();
  RETURN_IF_ERROR(Apply(context, options, route, changed));
  if (route.variants().empty())
    return UsageError("the route has no variant; give --variant NAME:SYSTEM");
  if (route.primary().empty() && route.variants().size() == 1)
    route.set_primary(route.variants().begin()->first);
  if (route.primary().empty()) return UsageError("which variant answers? give --primary");
  ASSIGN_OR_RETURN(const Route created, context.Call(stub, &RouteStub::CreateRoute, request, true));
  if (!context.PrintedJson(created)) PrintRoute(context, created);
  return absl::OkStatus();
}

absl::StatusOr<Route> GetRoute(Context& context, std::unique_ptr<RouteStub>& stub,
                               const RouteOptions& options) {
  router::GetRouteRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), FullName(context, "routes", options.route));
  return context.Call(stub, &RouteStub::GetRoute, request, true);
}

absl::Status Set(Context& context, const RouteOptions& options) {
  auto stub = router::RouteService::NewStub(context.Channel());
  router::UpdateRouteRequest request;
  ASSIGN_OR_RETURN(*request.mutable_route(), GetRoute(context, stub, options));
  std::vector<std::string> changed;
  RETURN_IF_ERROR(Apply(context, options, *request.mutable_route(), changed));
  if (changed.empty()) return UsageError("nothing to set");
  for (const std::string& field : changed) request.mutable_update_mask()->add_paths(field);
  ASSIGN_OR_RETURN(const Route route, context.Call(stub, &RouteStub::UpdateRoute, request));
  if (!context.PrintedJson(route)) PrintRoute(context, route);
  return absl::OkStatus();
}

absl::Status ShowRoute(Context& context, const RouteOptions& options) {
  auto stub = router::RouteService::NewStub(context.Channel());
  ASSIGN_OR_RETURN(const Route route, GetRoute(context, stub, options));
  if (!context.PrintedJson(route)) PrintRoute(context, route);
  return absl::OkStatus();
}

absl::Status ListRoutes(Context& context) {
  auto stub = router::RouteService::NewStub(context.Channel());
  router::ListRoutesRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &RouteStub::ListRoutes, request,
                                   [](auto& page) { return page.mutable_routes(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table(
      {{"ROUTE"}, {"TASK"}, {"MODE"}, {"PRIMARY"}, {"SYSTEM", Align::kLeft, true}, {"EXPERIMENT"}});
  for (const Route& route : list.routes()) {
    const auto primary = route.variants().find(route.primary());
    table.AddRow({std::string(IdOf(route.name())), ShortName(route.task()),
                  EnumWord(Route::Mode_Name(route.mode())), route.primary(),
                  primary == route.variants().end() ? "" : SystemLabel(primary->second),
                  ShortName(route.experiment())});
  }
  context.terminal().out << (table.empty() ? "no routes yet; `crossover route create` makes one\n"
                                           : table.Render(context.terminal()));
  return absl::OkStatus();
}

}  // namespace

void AddRoute(CLI::App& app, Context& context) {
  auto options = std::make_shared<RouteOptions>();
  CLI::App* group = AddGroup(app, "route", "What answers requests");
  const auto with_route = [&](const std::string& name, const std::string& about,
                              const std::string& examples, std::function<absl::Status()> run) {
    CLI::App* command = AddCommand(*group, context, name, about, examples, std::move(run));
    command->add_option("route", options->route, "Slug: what clients send as `model`")->required();
    return command;
  };
  const auto with_fields = [&](CLI::App* command) {
    command->add_option("--task", options->task, "Task it serves");
    command->add_option("--mode", options->mode, "prompt, fine-tune or hybrid");
    command->add_option("--variant", options->variants, "NAME:SYSTEM; may be given again");
    command->add_option("--primary", options->primary, "Variant that answers");
    command->add_option("--fallback", options->fallbacks,
                        "Variants tried in order when it fails before the first byte");
    command->add_option("--file", options->file, "YAML file with the fields of Route")
        ->check(CLI::ExistingFile);
    AddSet(command, context, options->settings, Route::descriptor(),
           "FIELD=VALUE of Route; may be given again");
  };
  with_fields(with_route(
      "create", "Create a route",
      "  crossover route create support --task support --mode prompt \\\n"
      "      --variant prompt:prompt=support/main,model=smollm2-135m-instruct --primary prompt",
      [&context, options] { return CreateRoute(context, *options); }));
  with_fields(with_route("set", "Change a route, without a restart",
                         "  crossover route set support --variant tuned:adapter=sha256:48c2d8…",
                         [&context, options] { return Set(context, *options); }));
  with_route("show", "Show a route", "",
             [&context, options] { return ShowRoute(context, *options); });
  AddCommand(*group, context, "list", "List routes", "",
             [&context] { return ListRoutes(context); });
}

}  // namespace crossover::cli
