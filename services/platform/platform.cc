#include "services/platform/platform.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/blob/directory_blob_store.h"
#include "common/http/client.h"
#include "common/http/server.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/service/service_main.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/platform/base_model.h"
#include "services/platform/child.h"
#include "services/platform/exposition.h"
#include "services/platform/modules.h"

extern char** environ;

namespace crossover::platform {
namespace {

namespace fs = std::filesystem;

// A free TCP port of loopback, for a child that must be told its own. While the object lives, the
// kernel gives the port to no outgoing connection, but a server that sets SO_REUSEADDR, as ours do,
// can listen on it: so a child finds its port free whenever it is restarted.
class ReservedPort {
 public:
  ReservedPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int one = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
      number_ = ntohs(address.sin_port);
    }
  }
  ~ReservedPort() { ::close(fd_); }
  ReservedPort(const ReservedPort&) = delete;
  ReservedPort& operator=(const ReservedPort&) = delete;

  int number() const { return number_; }

 private:
  const int fd_;
  int number_ = 0;
};

// Our environment without our own settings, which children would refuse or misread.
std::map<std::string, std::string> ChildEnvironment() {
  std::map<std::string, std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string::npos || text.starts_with("CROSSOVER_")) continue;
    out[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return out;
}

void Append(const std::vector<std::string>& flags, SpawnOptions& command) {
  command.argv.insert(command.argv.end(), flags.begin(), flags.end());
}

fs::path OwnFolder() {
  std::error_code code;
  return fs::read_symlink("/proc/self/exe", code).parent_path();
}

// The host:port as listeners' errors spell it.
std::string Spelled(const std::string& address) {
  const absl::StatusOr<service::HostPort> where = service::ParseHostPort(address);
  return where.ok() ? absl::StrCat(where->host, ":", where->port) : address;
}

// A port that is taken, with the flag that names another.
absl::Status WithPortFlag(const absl::Status& status, const Options& options) {
  if (!HasReason(status, "PORT_IN_USE")) return status;
  const std::pair<const char*, const std::string*> flags[] = {
      {"--http-address", &options.http_address},
      {"--admin-address", &options.admin_address},
      {"--grpc-address", &options.grpc_address},
      {"--metrics-address", &options.metrics_address}};
  const std::string message(status.message());
  for (const auto& [flag, address] : flags) {
    if (!absl::StrContains(message, absl::StrCat(" ", *address, ":")) &&
        !absl::StrContains(message, absl::StrCat(" ", Spelled(*address), ":")))
      continue;
    return Error(status.code(),
                 absl::StrCat(message, "\n  try  ", flag, " HOST:PORT (port 0: any that is free)"),
                 DetailOf(status));
  }
  return status;
}

absl::StatusOr<std::unique_ptr<http::Server>> NewHttpServer(const std::string& address,
                                                            Logger& logger) {
  ASSIGN_OR_RETURN(const service::HostPort where, service::ParseHostPort(address));
  return std::make_unique<http::Server>(
      http::ServerOptions{.address = where.host, .port = where.port, .worker_threads = 2}, logger);
}

}  // namespace

struct Platform::Impl {
  Impl(Options o, Clock& c, RandomSource& r, Logger& l)
      : options(std::move(o)), clock(c), random(r), logger(l), registry("platform") {}

  // Members are made in this order and, by Stop, ended in reverse.
  Options options;
  Clock& clock;
  RandomSource& random;
  Logger& logger;
  metrics::Registry registry;
  rpc::LoopbackAuthenticator loopback;
  std::unique_ptr<DataFolder> folder;
  std::unique_ptr<http::Server> metrics_server;
  std::unique_ptr<http::Server> admin_server;
  http::Client scraper;
  std::unique_ptr<Postgres> postgres;
  std::map<std::string, std::unique_ptr<pg::Pool>, std::less<>> pools;
  std::unique_ptr<BlobStore> blobs;
  std::unique_ptr<rpc::Authenticator> authenticator;
  Modules modules;
  std::unique_ptr<rpc::Server> server;
  std::shared_ptr<grpc::Channel> self;
  ReservedPort model_server_port;
  std::vector<std::unique_ptr<Child>> children;
  StateFile state;
  std::vector<std::string> notes;
  std::atomic<bool> up = false;

  std::mutex ports_mutex;
  std::map<std::string, ReservedPort> child_metrics_ports;  // by child
  std::map<std::string, ReservedPort> gang_ports;           // by worker
  std::map<std::string, std::string> incarnations;          // by worker

  absl::Status StartHttp() {
    ASSIGN_OR_RETURN(metrics_server, NewHttpServer(options.metrics_address, logger));
    http::AddMetricsRoute(*metrics_server, [this] { return Metrics(); });
    ASSIGN_OR_RETURN(admin_server, NewHttpServer(options.admin_address, logger));
    for (http::Server* http : {metrics_server.get(), admin_server.get()}) {
      http::AddHealthRoutes(*http, [this] { return Ready(); });
      RETURN_IF_ERROR(http->Start());
    }
    return absl::OkStatus();
  }

  // Our own metrics and those of the children that answer.
  std::string Metrics() {
    std::vector<std::string> texts = {registry.Expose()};
    std::map<std::string, int> ports;
    {
      std::lock_guard lock(ports_mutex);
      for (const auto& [name, port] : child_metrics_ports) ports[name] = port.number();
    }
    for (const auto& [name, port] : ports) {
      auto response = scraper.Send({.url = absl::StrCat("http://127.0.0.1:", port, "/metrics"),
                                    .timeout = absl::Seconds(2)});
      if (response.ok() && response->status == 200) texts.push_back(std::move(response->body));
    }
    return MergeExpositions(texts);
  }

  absl::Status Ready() const {
    if (!up)
      return Error(absl::StatusCode::kUnavailable, "STARTING",
                   "the platform is starting or stopping");
    return server->Ready();
  }

  absl::Status StartDatabase() {
    ASSIGN_OR_RETURN(postgres, Postgres::Start(options.postgres, *folder, clock, logger, registry));
    RETURN_IF_ERROR(MigrateAll(postgres->dsn(), logger));
    for (const pg::SchemaMigrations& schema : AllSchemas()) {
      const std::string name(schema.schema);
      ASSIGN_OR_RETURN(pools[name], pg::Pool::Create({.dsn = postgres->dsn(),
                                                      .schema = name,
                                                      .application_name = "crossover-" + name,
                                                      .max_connections = 12},
                                                     clock, &registry));
    }
    return absl::OkStatus();
  }

  absl::Status StartModules() {
    const std::string socket = "unix:" + folder->socket("grpc").string();
    state.model_server = absl::StrCat("http://127.0.0.1:", model_server_port.number());
    self = rpc::NewChannel(socket);
    authenticator = NewAuthenticator(*pools.find("registry")->second, clock, loopback);
    const ModuleDeps deps{
        .pool = [this](std::string_view schema) -> pg::Pool& {
          return *pools.find(schema)->second;
        },
        .blobs = *blobs,
        .clock = clock,
        .random = random,
        .registry = registry,
        .logger = logger,
        .authenticator = *authenticator,
        .self = self,
        .model_server = rpc::NewChannel("unix:" + folder->socket("model-server").string()),
        .model_server_url = state.model_server,
        .http_address = options.http_address,
        .data = folder->root()};
    ASSIGN_OR_RETURN(modules, BuildModules(deps));
    std::vector<rpc::Module*> plain;
    for (const auto& module : modules.all) plain.push_back(module.get());
    rpc::ServerOptions server_options{.addresses = {options.grpc_address, socket},
                                      .reflection = options.reflection,
                                      .drain_timeout = options.drain_timeout};
    // The model server is a process of its own; clients know one address.
    server_options.forwards = {{"crossover.inference.v1.", deps.model_server, authenticator.get()}};
    ASSIGN_OR_RETURN(server, rpc::Server::Start(std::move(server_options), plain, logger));
    const service::HostPort grpc = *service::ParseHostPort(options.grpc_address);
    state.grpc = absl::StrCat(grpc.host, ":", server->port());
    state.socket = socket;
    return absl::OkStatus();
  }

  absl::StatusOr<fs::path> Program(const std::string& name) const {
    const fs::path path =
        (options.program_folder.empty() ? OwnFolder() : options.program_folder) / name;
    if (::access(path.c_str(), X_OK) == 0) return path;
    return Error(absl::StatusCode::kNotFound, "PROGRAM_NOT_FOUND",
                 absl::StrCat(path.string(),
                              " is missing: build it (./dev build), or name the programs' folder "
                              "with --program-folder"));
  }

  int MetricsPort(const std::string& child) {
    std::lock_guard lock(ports_mutex);
    return child_metrics_ports[child].number();
  }

  SpawnOptions BaseCommand(const fs::path& program, const std::string& name, int threads) {
    SpawnOptions out{.argv = {program.string(), "--blob-dir=" + folder->blobs().string(),
                              "--log-level=" + options.log_level,
                              absl::StrCat("--metrics-address=127.0.0.1:", MetricsPort(name))},
                     .environment = ChildEnvironment(),
                     .output = folder->log(name)};
    // Idle OpenMP threads must sleep: a spinning trainer beside other busy processes was measured
    // 7–11× slower.
    (*out.environment)["OMP_WAIT_POLICY"] = "passive";
    if (threads > 0) out.argv.push_back(absl::StrCat("--threads=", threads));
    return out;
  }

  // Where the other workers of a gang meet this one.
  std::string GangAddress(const std::string& worker) {
    std::lock_guard lock(ports_mutex);
    return absl::StrCat("127.0.0.1:", gang_ports[worker].number());
  }

  absl::Status StartModelServer() {
    ASSIGN_OR_RETURN(const fs::path program, Program("crossover-model-server"));
    ChildOptions child{
        .name = "model-server", .command = [this, program]() -> absl::StatusOr<SpawnOptions> {
          SpawnOptions command = BaseCommand(program, "model-server", options.model_server_threads);
          command.argv.push_back("--grpc-address=unix:" + folder->socket("model-server").string());
          command.argv.push_back("--http-address=" + state.model_server.substr(7));
          command.argv.push_back("--scheduler=" + state.socket);
          command.argv.push_back("--scratch=" + (folder->root() / "work/model-server").string());
          Append(ModelServerFlags(options.child_settings), command);
          return command;
        }};
    ASSIGN_OR_RETURN(auto started, Child::Start(std::move(child), clock, logger, registry));
    children.push_back(std::move(started));
    return absl::OkStatus();
  }

  absl::Status StartTrainer(int number) {
    ASSIGN_OR_RETURN(const fs::path program, Program("crossover-trainer-worker"));
    const std::string name = absl::StrCat("trainer-worker-", number);
    const std::string worker = absl::StrCat("local-", number);
    ChildOptions child{
        .name = name,
        .command = [this, program, name, worker]() -> absl::StatusOr<SpawnOptions> {
          const std::string incarnation = random.Hex(8);
          {
            std::lock_guard lock(ports_mutex);
            incarnations[worker] = incarnation;
          }
          SpawnOptions command = BaseCommand(program, name, options.trainer_threads);
          command.nice = 10;
          command.argv.push_back("--grpc-address=unix:" + folder->socket(name).string());
          command.argv.push_back("--scheduler=" + state.socket);
          command.argv.push_back("--worker-name=" + worker);
          command.argv.push_back("--work-folder=" + (folder->root() / "work" / worker).string());
          command.argv.push_back("--nice=0");  // it is set here
          command.argv.push_back("--incarnation=" + incarnation);
          Append(TrainerFlags(options.child_settings, GangAddress(worker)), command);
          return command;
        },
        .stop_timeout = absl::Seconds(60),  // it writes a checkpoint first
        .on_exit =
            [this, worker](int wait_status) {
              std::string incarnation;
              {
                std::lock_guard lock(ports_mutex);
                incarnation = incarnations[worker];
              }
              ReportCrash(worker, incarnation, DescribeExit(wait_status));
            }};
    // Whoever had this name died with an earlier platform: its job goes on now.
    ReportCrash(worker, "", "its platform ended without notice");
    ASSIGN_OR_RETURN(auto started, Child::Start(std::move(child), clock, logger, registry));
    children.push_back(std::move(started));
    return absl::OkStatus();
  }

  // `incarnation` "" = any.
  void ReportCrash(const std::string& worker, const std::string& incarnation,
                   const std::string& how) {
    const absl::Status status = ReportWorkerCrash(self, "workers/" + worker, incarnation, how);
    if (!status.ok())
      logger.Warning("worker_crash_not_reported", {{"worker", worker}, {"status", status}});
  }

  absl::Status ImportModel() {
    if (!options.import_base_model) return absl::OkStatus();
    ASSIGN_OR_RETURN(
        std::string note,
        ImportBaseModel(self, {.given = options.base_model, .bundled = BundledModelFile()},
                        logger));
    if (!note.empty()) notes.push_back(std::move(note));
    return absl::OkStatus();
  }

  absl::Status StartAll() {
    RETURN_IF_ERROR(service::ParseHostPort(options.http_address).status());
    RETURN_IF_ERROR(service::ParseHostPort(options.grpc_address).status());
    RETURN_IF_ERROR(CheckChildSettings(options.child_settings));
    ASSIGN_OR_RETURN(folder, DataFolder::Open(options.data));
    RETURN_IF_ERROR(StartHttp());
    ASSIGN_OR_RETURN(blobs, NewDirectoryBlobStore({.root = folder->blobs()}, clock));
    RETURN_IF_ERROR(StartDatabase());
    RETURN_IF_ERROR(StartModules());
    RETURN_IF_ERROR(ImportModel());
    if (options.model_server) RETURN_IF_ERROR(StartModelServer());
    for (int i = 0; i < options.trainer_workers; ++i) RETURN_IF_ERROR(StartTrainer(i));
    state.pid = ::getpid();
    state.http = absl::StrCat("http://", service::ParseHostPort(options.http_address)->host, ":",
                              modules.http_port());
    state.admin = absl::StrCat("http://", service::ParseHostPort(options.admin_address)->host, ":",
                               admin_server->port());
    state.metrics = absl::StrCat("http://", service::ParseHostPort(options.metrics_address)->host,
                                 ":", metrics_server->port());
    up = true;
    return folder->WriteState(state);
  }

  void Stop() {
    up = false;
    while (!children.empty()) children.pop_back();  // workers first: they still need the scheduler
    if (server != nullptr) server->Stop();
    // Their handlers ask the server and its modules, so they end before those go.
    if (admin_server != nullptr) admin_server->Stop();
    if (metrics_server != nullptr) metrics_server->Stop();
    server.reset();
    while (!modules.all.empty()) modules.all.pop_back();
    authenticator.reset();
    pools.clear();
    if (postgres != nullptr) postgres->Stop();
    postgres.reset();
    folder.reset();
  }
};

Platform::Platform(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Platform::~Platform() { Stop(); }

absl::StatusOr<std::unique_ptr<Platform>> Platform::Start(Options options, Clock& clock,
                                                          RandomSource& random, Logger& logger) {
  std::unique_ptr<Platform> platform(
      new Platform(std::make_unique<Impl>(std::move(options), clock, random, logger)));
  RETURN_IF_ERROR(WithPortFlag(platform->impl_->StartAll(), platform->impl_->options));
  logger.Info("platform_started", {{"grpc", platform->state().grpc},
                                   {"http", platform->state().http},
                                   {"admin", platform->state().admin}});
  return platform;
}

const StateFile& Platform::state() const { return impl_->state; }
const std::vector<std::string>& Platform::notes() const { return impl_->notes; }
absl::Status Platform::Ready() const { return impl_->Ready(); }
void Platform::Stop() { impl_->Stop(); }

absl::Status MigrateAll(const std::string& dsn, Logger& logger) {
  for (const pg::SchemaMigrations& schema : AllSchemas()) {
    RETURN_IF_ERROR(pg::Migrate(dsn, schema, logger).status());
  }
  return absl::OkStatus();
}

}  // namespace crossover::platform
