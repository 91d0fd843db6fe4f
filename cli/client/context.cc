#include "cli/client/context.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/client/nearest.h"
#include "cli/output/error.h"
#include "common/config/config.h"
#include "common/id/uuid7.h"
#include "common/status/error.h"
#include "crossover/registry/v1/project_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace registry = ::crossover::registry::v1;

constexpr char kDefaultServer[] = "127.0.0.1:7070";
constexpr std::string_view kProjects = "projects/";
constexpr char kDefaultProject[] = "projects/default";  // always there

std::string FileText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Where the platform of this data folder listens; empty when none runs there.
std::string AddressIn(const std::filesystem::path& folder) {
  const auto state = nlohmann::json::parse(FileText(folder / "platform.json"), nullptr, false);
  const bool has = state.is_object() && state.contains("grpc") && state["grpc"].is_string();
  return has ? state["grpc"].get<std::string>() : "";
}

std::string Trimmed(std::string text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  text.erase(last == std::string::npos ? 0 : last + 1);
  return text;
}

}  // namespace

std::string Context::Variable(const std::string& name) const {
  const auto found = world.environment.find(name);
  return found == world.environment.end() ? "" : found->second;
}

std::string Context::ServerAddress() const {
  if (!globals.server.empty()) return globals.server;
  if (const std::string server = Variable("CROSSOVER_SERVER"); !server.empty()) return server;
  const std::string data = globals.data.empty() ? Variable("CROSSOVER_DATA") : globals.data;
  const std::string address =
      AddressIn(data.empty() ? config::DefaultDataFolder() : std::filesystem::path(data));
  return address.empty() ? kDefaultServer : address;
}

absl::Status Context::CheckServer() const {
  const bool by_flag = !globals.data.empty();
  const std::string data = by_flag ? globals.data : Variable("CROSSOVER_DATA");
  const bool elsewhere = !globals.server.empty() || !Variable("CROSSOVER_SERVER").empty();
  if (data.empty() || elsewhere || !AddressIn(data).empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable,
               absl::StrCat("no platform runs in ", data, ", which ",
                            by_flag ? "--data" : "CROSSOVER_DATA", " names"),
               {.reason = kUnreachable,
                .metadata = {{"try", absl::StrCat("start it with `crossover ",
                                                  by_flag ? absl::StrCat("--data ", data, " ") : "",
                                                  "up`, or name a server with --server HOST:PORT "
                                                  "or CROSSOVER_SERVER")}},
                .violations = {}});
}

std::string Context::Project() const {
  std::string project = !globals.project.empty() ? globals.project : Variable("CROSSOVER_PROJECT");
  if (project.empty()) project = "default";
  return project.rfind("projects/", 0) == 0 ? project : "projects/" + project;
}

std::string Context::ApiKey() const {
  if (const std::string key = Variable("CROSSOVER_API_KEY"); !key.empty()) return key;
  const std::string file = Variable("CROSSOVER_API_KEY_FILE");
  return file.empty() ? "" : Trimmed(FileText(file));
}

std::shared_ptr<grpc::Channel> Context::Channel() {
  if (!channel_) channel_ = rpc::NewChannel(ServerAddress());
  return channel_;
}

absl::Status Context::CheckProject() {
  if (project_checked_) return absl::OkStatus();
  project_checked_ = true;  // also for the calls below
  registry::GetProjectRequest get;
  get.set_name(Project());
  if (get.name() == kDefaultProject) return absl::OkStatus();
  auto stub = registry::ProjectService::NewStub(Channel());
  const absl::Status found =
      Call(stub, &registry::ProjectService::Stub::GetProject, get, true).status();
  if (HasReason(found, kUnreachable)) return found;
  if (found.code() != absl::StatusCode::kNotFound) return absl::OkStatus();
  const auto list =
      ListAll(stub, &registry::ProjectService::Stub::ListProjects, registry::ListProjectsRequest(),
              [](auto& page) { return page.mutable_projects(); });
  std::vector<std::string> known;
  if (list.ok()) {
    for (const registry::Project& project : list->projects()) {
      known.push_back(project.name().substr(kProjects.size()));
    }
  }
  const std::string project = get.name().substr(kProjects.size());
  const std::string meant = Nearest(project, known);
  std::string message =
      absl::StrCat("there is no project '", project, "', which ",
                   globals.project.empty() ? "CROSSOVER_PROJECT" : "--project", " names");
  if (!meant.empty()) {
    absl::StrAppend(&message, "; did you mean '", meant, "'?");
  } else if (!known.empty()) {
    absl::StrAppend(&message, "; there are: ", absl::StrJoin(known, ", "));
  }
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", message);
}

absl::Status Context::Explained(const absl::Status& status) const {
  // A server's own errors carry a reason; those that gRPC makes for it do not.
  if (!DetailOf(status).reason.empty()) return status;
  if (status.code() == absl::StatusCode::kUnavailable) {
    return Error(absl::StatusCode::kUnavailable, kUnreachable,
                 absl::StrCat("no Crossover server answers at ", ServerAddress()));
  }
  if (status.code() == absl::StatusCode::kUnimplemented) {
    return Error(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
                 absl::StrCat("the server at ", ServerAddress(), " does not offer this"));
  }
  return status;
}

bool Context::PrintedJson(const google::protobuf::Message& message) {
  if (globals.json) terminal().out << ToJson(message);
  return globals.json;
}

std::string Context::RequestId() const {
  return UuidGenerator(world.clock, SystemRandom()).Next().ToUuid();
}

}  // namespace crossover::cli
