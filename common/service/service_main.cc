#include "common/service/service_main.h"

#include <cstdio>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/blob/directory_blob_store.h"
#include "common/context/request_context.h"
#include "common/http/server.h"
#include "common/rpc/channel.h"
#include "common/rpc/deployment_keys.h"
#include "common/rpc/server.h"
#include "common/rpc/token_channel.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::service {
namespace {

int Fail(const std::string& program, const absl::Status& status) {
  std::fprintf(stderr, "%s: %s\n", program.c_str(), std::string(ToStd(status.message())).c_str());
  return HasReason(status, "CONFIG_INVALID") ? 2 : 1;  // as of `crossover` and the platform
}

// As a value of libpq: 'it\'s'.
std::string QuoteWord(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string DsnOf(const CommonOptions& options) {
  if (options.database_password.empty()) return options.database_url;
  const bool is_uri = options.database_url.find("://") != std::string::npos;
  if (!is_uri) return options.database_url + " password=" + QuoteWord(options.database_password);
  // libpq takes parameters of a URI percent-encoded; hex digits of every byte are the simplest safe
  // form.
  std::string encoded;
  for (const char ch : options.database_password) {
    absl::StrAppend(&encoded, "%", absl::Hex(static_cast<unsigned char>(ch), absl::kZeroPad2));
  }
  const bool has_query = options.database_url.find('?') != std::string::npos;
  return absl::StrCat(options.database_url, has_query ? "&" : "?", "password=", encoded);
}

// "unix:/path", or "host:port" of the loopback interface.
bool IsThisMachine(const std::string& address) {
  if (address.starts_with("unix:")) return true;
  const absl::StatusOr<HostPort> where = ParseHostPort(address);
  if (!where.ok()) return true;  // refused elsewhere, with a better reason
  const bool ipv4 = where->host.find_first_not_of("0123456789.") == std::string::npos;
  return (ipv4 && where->host.starts_with("127.")) || where->host == "::1";
}

// Metrics and health over HTTP.
absl::StatusOr<std::unique_ptr<http::Server>> StartMetrics(const std::string& address,
                                                           metrics::Registry& registry,
                                                           std::function<absl::Status()> ready,
                                                           Logger& logger) {
  ASSIGN_OR_RETURN(const HostPort where, ParseHostPort(address));
  auto server = std::make_unique<http::Server>(
      http::ServerOptions{.address = where.host, .port = where.port, .worker_threads = 2}, logger);
  http::AddMetricsRoute(*server, [&registry] { return registry.Expose(); });
  http::AddHealthRoutes(*server, std::move(ready));
  RETURN_IF_ERROR(server->Start());
  return server;
}

// From here on everything is parsed. Objects end in reverse order.
absl::Status Serve(const CommonOptions& options, const std::string& name, Logger& logger,
                   rpc::ShutdownSignal& signal, const BuildModules& build) {
  metrics::Registry registry(name);
  Runtime runtime(options, SystemClock(), SystemRandom(), logger, registry);
  if (!options.service_key.empty())
    RETURN_IF_ERROR(rpc::CheckKey("the service key", options.service_key));
  RETURN_IF_ERROR(
      runtime.CheckExposure("grpc-address", options.grpc_address, !options.service_key.empty()));
  ASSIGN_OR_RETURN(std::vector<std::unique_ptr<rpc::Module>> owned, build(runtime));
  std::vector<rpc::Module*> modules;
  for (const auto& module : owned) modules.push_back(module.get());
  const auto ready = [&modules]() -> absl::Status {
    for (rpc::Module* module : modules) RETURN_IF_ERROR(module->Ready());
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(auto metrics_server,
                   StartMetrics(options.metrics_address, registry, ready, logger));
  rpc::ServerOptions server_options{.addresses = absl::StrSplit(options.grpc_address, ','),
                                    .reflection = options.reflection,
                                    .drain_timeout = options.drain_timeout,
                                    .forwards = runtime.forwards()};
  ASSIGN_OR_RETURN(auto server, rpc::Server::Start(std::move(server_options), modules, logger));
  const int number = signal.Wait();
  logger.Info("stopping", {{"signal", number}});
  server->Stop();
  metrics_server->Stop();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(const std::string& text) {
  const size_t colon = text.rfind(':');
  HostPort out;
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &out.port) ||
      out.port < 0 || out.port > 65535) {
    return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                 "'" + text + "' is not an address: expected host:port, such as 127.0.0.1:8080");
  }
  out.host = text.substr(0, colon);
  if (out.host.empty()) out.host = "0.0.0.0";
  if (out.host == "localhost") out.host = "127.0.0.1";
  if (out.host.front() == '[' && out.host.back() == ']')
    out.host = out.host.substr(1, out.host.size() - 2);
  return out;
}

Runtime::Runtime(const CommonOptions& o, Clock& c, RandomSource& r, Logger& l, metrics::Registry& m)
    : options(o), clock(c), random(r), logger(l), registry(m) {
  if (!options.service_key.empty()) {
    authenticator_ = std::make_unique<rpc::DeploymentAuthenticator>(
        rpc::DeploymentKeys{.service = options.service_key, .admin = ""}, nullptr);
  } else if (!options.allow_unauthenticated) {
    authenticator_ = std::make_unique<rpc::LoopbackAuthenticator>();
  }
}

Runtime::~Runtime() = default;

rpc::Authenticator* Runtime::authenticator() { return authenticator_.get(); }

rpc::Authenticator* Runtime::Keep(std::unique_ptr<rpc::Authenticator> authenticator) {
  kept_.push_back(std::move(authenticator));
  return kept_.back().get();
}

absl::Status Runtime::CheckExposure(std::string_view setting, const std::string& addresses,
                                    bool has_key) const {
  for (const std::string& address : std::vector<std::string>(absl::StrSplit(addresses, ','))) {
    if (has_key || address.empty() || IsThisMachine(address)) continue;
    if (options.allow_unauthenticated) {
      logger.Warning("unauthenticated", {{"setting", setting}, {"address", address}});
      continue;
    }
    return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                 absl::StrCat(ToAbsl(setting), " ", address,
                              " is open to other machines, and there is no key that they would "
                              "need: name a file with one by --service-key-file or "
                              "CROSSOVER_SERVICE_KEY_FILE (`openssl rand -hex 32` makes one, all "
                              "services share it), listen on 127.0.0.1, or say "
                              "--allow-unauthenticated to make everyone ADMIN"));
  }
  return absl::OkStatus();
}

void Runtime::Forward(const std::string& prefix, const std::string& target,
                      rpc::Authenticator* authenticator) {
  forwards_.push_back({prefix, rpc::NewChannel(target), authenticator, options.service_key});
}

std::string Runtime::Dsn() const { return DsnOf(options); }

absl::StatusOr<pg::Pool*> Runtime::OpenPool(const pg::SchemaMigrations& schema,
                                            int max_connections) {
  RETURN_IF_ERROR(pg::VerifyMigrations(Dsn(), schema));
  ASSIGN_OR_RETURN(std::unique_ptr<pg::Pool> pool,
                   pg::Pool::Create({.dsn = Dsn(),
                                     .schema = std::string(schema.schema),
                                     .application_name = "crossover-" + std::string(schema.schema),
                                     .max_connections = max_connections},
                                    clock, &registry));
  pools_.push_back(std::move(pool));
  return pools_.back().get();
}

absl::StatusOr<BlobStore*> Runtime::OpenBlobStore() {
  if (blobs_ == nullptr) {
    const std::filesystem::path root =
        options.blob_dir.empty() ? config::DefaultDataFolder() / "blobs" : options.blob_dir;
    ASSIGN_OR_RETURN(blobs_, NewDirectoryBlobStore({.root = root}, clock));
  }
  return blobs_.get();
}

std::shared_ptr<grpc::Channel> Runtime::Connect(const std::string& target) {
  if (options.service_key.empty()) return rpc::NewChannel(target);
  const std::string name = "services/" + options.service;
  return rpc::NewTokenChannel(target, [key = options.service_key, name] {
    return rpc::ServiceToken(
        key,
        {.name = name, .project = RequestContext::Current().project, .role = rpc::Role::kService});
  });
}

ServiceMain::ServiceMain(std::string program, std::string about)
    : program_(std::move(program)), config_(program_, std::move(about)) {
  config_.Add("grpc-address",
              "where to serve gRPC: host:port or unix:/path, several separated by commas",
              &options_.grpc_address);
  config_.Add("metrics-address", "host:port of /metrics, /healthz and /readyz",
              &options_.metrics_address);
  config_.Add("database-url", "Postgres, as a libpq URI or key=value words",
              &options_.database_url);
  config_.AddSecret("database-password", "password of the database user",
                    &options_.database_password);
  config_.Add("blob-dir", "folder of the blob store", &options_.blob_dir);
  config_.Add("log-level", "debug, info, warning or error", &options_.log_level);
  config_.Add("reflection", "describe the gRPC services to clients such as grpcurl",
              &options_.reflection);
  config_.Add("drain-timeout", "how long calls in progress may take when stopping",
              &options_.drain_timeout);
  config_.AddSecret("service-key", "what the services of one deployment show each other",
                    &options_.service_key);
  config_.Add("allow-unauthenticated",
              "serve other machines without a service key: everyone who reaches a port is ADMIN",
              &options_.allow_unauthenticated);
}

ServiceMain::~ServiceMain() = default;

int ServiceMain::Run(int argc, char** argv, const BuildModule& build) {
  return RunAll(
      argc, argv,
      [&build](Runtime& runtime) -> absl::StatusOr<std::vector<std::unique_ptr<rpc::Module>>> {
        ASSIGN_OR_RETURN(std::unique_ptr<rpc::Module> module, build(runtime));
        std::vector<std::unique_ptr<rpc::Module>> all;
        all.push_back(std::move(module));
        return all;
      });
}

int ServiceMain::RunAll(int argc, char** argv, const BuildModules& build) {
  const absl::StatusOr<config::Next> next = config_.Parse(argc, argv);
  if (!next.ok()) return Fail(program_, next.status());
  if (*next == config::Next::kExit) return 0;
  JsonLoggerOptions log_options{.service = program_.substr(program_.find('-') + 1)};
  if (const absl::Status status = ParseLogLevel(options_.log_level, &log_options.level);
      !status.ok()) {
    return Fail(program_, status);
  }
  rpc::ShutdownSignal signal;  // before any thread
  const std::unique_ptr<Logger> logger = NewJsonLogger(log_options, SystemClock());
  logger->Info("config", {{"effective", config_.EffectiveJson()}});
  options_.service = log_options.service;
  const absl::Status status = Serve(options_, log_options.service, *logger, signal, build);
  return status.ok() ? 0 : Fail(program_, status);
}

int RunMigrate(const std::string& program, int argc, char** argv,
               const std::function<absl::Status(const std::string& dsn, Logger& logger)>& migrate) {
  CommonOptions options;
  config::Config config(program, "Brings the schemas of all services up to date.");
  config.Add("database-url", "Postgres, as a libpq URI or key=value words", &options.database_url);
  config.AddSecret("database-password", "password of the database user",
                   &options.database_password);
  const absl::StatusOr<config::Next> next = config.Parse(argc, argv);
  if (!next.ok()) return Fail(program, next.status());
  if (*next == config::Next::kExit) return 0;
  const std::unique_ptr<Logger> logger = NewJsonLogger({.service = "migrate"}, SystemClock());
  const absl::Status status = migrate(DsnOf(options), *logger);
  return status.ok() ? 0 : Fail(program, status);
}

}  // namespace crossover::service
