// crossover key: API keys of the project.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "crossover/registry/v1/project_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace registry = ::crossover::registry::v1;
using ProjectStub = registry::ProjectService::Stub;

struct KeyOptions {
  std::string key;
  std::string role = "developer";
  std::string title;
  std::string expires;
  std::string grace;
  std::vector<std::string> routes;
  std::vector<std::string> settings;
};

std::string RoleWord(type::v1::Role role) {
  const std::string name = type::v1::Role_Name(role);
  return EnumWord(name.substr(name.find('_') + 1));
}

// The secret alone on stdout, for `KEY=$(crossover key create …)`; the rest for people.
void PrintSecret(Context& context, const registry::ApiKey& key) {
  context.terminal().err << "key " << IdOf(key.name()) << ", role " << RoleWord(key.role())
                         << "; the secret is shown this once:\n";
  context.terminal().out << key.secret() << "\n";
}

absl::Status CreateKey(Context& context, const KeyOptions& options) {
  auto stub = registry::ProjectService::NewStub(context.Channel());
  registry::CreateApiKeyRequest request;
  request.set_parent(context.Project());
  request.set_request_id(context.RequestId());
  registry::ApiKey& key = *request.mutable_api_key();
  type::v1::Role role = type::v1::ROLE_UNSPECIFIED;
  if (!type::v1::Role_Parse("ROLE_" + absl::AsciiStrToUpper(options.role), &role)) {
    return UsageError(absl::StrCat("there is no role '", options.role,
                                   "': viewer, developer, operator, admin, worker"));
  }
  key.set_role(role);
  key.set_display_name(options.title);
  for (const std::string& route : options.routes) key.add_routes(route);
  if (!options.expires.empty()) {
    absl::Duration length;
    if (!absl::ParseDuration(options.expires, &length) || length <= absl::ZeroDuration()) {
      return UsageError(absl::StrCat("--expires is '", options.expires, "'; write 720h or 30m"));
    }
    key.mutable_expire_time()->set_seconds(absl::ToUnixSeconds(context.Now() + length));
  }
  RETURN_IF_ERROR(ApplyAssignments(options.settings, &key));
  ASSIGN_OR_RETURN(const registry::ApiKey created,
                   context.Call(stub, &ProjectStub::CreateApiKey, request, true));
  if (!context.PrintedJson(created)) PrintSecret(context, created);
  return absl::OkStatus();
}

absl::Status ListKeys(Context& context) {
  auto stub = registry::ProjectService::NewStub(context.Channel());
  registry::ListApiKeysRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &ProjectStub::ListApiKeys, request,
                                   [](auto& page) { return page.mutable_api_keys(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"KEY"},
               {"ROLE"},
               {"STATE"},
               {"BEGINS"},
               {"EXPIRES"},
               {"TITLE", Align::kLeft, true},
               {"CREATED"}});
  for (const registry::ApiKey& key : list.api_keys()) {
    table.AddRow({std::string(IdOf(key.name())), RoleWord(key.role()),
                  EnumWord(registry::ApiKey::State_Name(key.state())), key.prefix(),
                  key.has_expire_time() ? Moment(key.expire_time()) : "never", key.display_name(),
                  Ago(key.create_time(), context.Now())});
  }
  context.terminal().out << (table.empty() ? "no keys yet; `crossover key create` makes one\n"
                                           : table.Render(context.terminal()));
  return absl::OkStatus();
}

absl::Status RevokeKey(Context& context, const KeyOptions& options) {
  auto stub = registry::ProjectService::NewStub(context.Channel());
  registry::RevokeApiKeyRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), FullName(context, "apiKeys", options.key));
  ASSIGN_OR_RETURN(const registry::ApiKey key,
                   context.Call(stub, &ProjectStub::RevokeApiKey, request, true));
  if (context.PrintedJson(key)) return absl::OkStatus();
  context.terminal().out << "key " << IdOf(key.name()) << " is "
                         << EnumWord(registry::ApiKey::State_Name(key.state())) << "\n";
  return absl::OkStatus();
}

absl::Status RotateKey(Context& context, const KeyOptions& options) {
  auto stub = registry::ProjectService::NewStub(context.Channel());
  registry::RotateApiKeyRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), FullName(context, "apiKeys", options.key));
  if (!options.grace.empty()) {
    RETURN_IF_ERROR(ApplyAssignments({"grace=" + options.grace}, &request));
  }
  // Not repeatable: a second call would make the first one's secret the old one.
  ASSIGN_OR_RETURN(const registry::ApiKey key,
                   context.Call(stub, &ProjectStub::RotateApiKey, request));
  if (!context.PrintedJson(key)) PrintSecret(context, key);
  return absl::OkStatus();
}

}  // namespace

void AddKey(CLI::App& app, Context& context) {
  auto options = std::make_shared<KeyOptions>();
  CLI::App* group = AddGroup(app, "key", "API keys of the project");
  CLI::App* create =
      AddCommand(*group, context, "create", "Make a key; its secret is printed once",
                 "  crossover key create --role developer --title ci\n"
                 "  crossover key create --role viewer --expires 720h --route support",
                 [&context, options] { return CreateKey(context, *options); });
  create->add_option("--role", options->role, "viewer, developer, operator, admin or worker")
      ->capture_default_str();
  create->add_option("--title", options->title, "What people call it");
  create->add_option("--expires", options->expires, "How long it is accepted; default for ever");
  create->add_option("--route", options->routes,
                     "A route it may call; default all; may be given "
                     "again");
  AddSet(create, context, options->settings, registry::ApiKey::descriptor(),
         "FIELD=VALUE of ApiKey; may be given again");
  AddCommand(*group, context, "list", "List keys", "", [&context] { return ListKeys(context); });
  const auto with_key = [&](const std::string& name, const std::string& about,
                            std::function<absl::Status()> run) {
    CLI::App* command = AddCommand(*group, context, name, about, "", std::move(run));
    command->add_option("key", options->key, "Id or name")->required();
    return command;
  };
  with_key("revoke", "Refuse a key for ever",
           [&context, options] { return RevokeKey(context, *options); });
  with_key("rotate", "Give a key another secret", [&context, options] {
    return RotateKey(context, *options);
  })->add_option("--grace", options->grace, "How long the old secret is still accepted");
}

}  // namespace crossover::cli
