#include "common/rpc/server.h"

#include <arpa/inet.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "common/time/clock.h"

namespace crossover::rpc {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";

// True if somebody answers on this Unix socket.
bool UnixSocketAnswers(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool answers = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  ::close(fd);
  return answers;
}

absl::Status PortInUse(const std::string& address, std::string_view why) {
  return Error(absl::StatusCode::kUnavailable, "PORT_IN_USE",
               absl::StrCat("cannot listen on ", address, ": ", std::string(why),
                            "; is another server running there? Choose another port or stop it."));
}

// gRPC binds with SO_REUSEPORT and says only "failed" when it cannot: a bind of our own finds out
// and says why.
absl::Status ProbeTcp(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                 "'" + address + "' is not an address: expected host:port or unix:/path");
  }
  const std::string port = address.substr(colon + 1);
  if (port == "0") return absl::OkStatus();
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); code != 0) {
    return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                 absl::StrCat("cannot resolve ", address, ": ", ::gai_strerror(code)));
  }
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  const int result = ::bind(fd, found->ai_addr, found->ai_addrlen);
  const int error = errno;
  ::close(fd);
  ::freeaddrinfo(found);
  return result == 0 ? absl::OkStatus() : PortInUse(address, std::strerror(error));
}

// A socket file left by a killed process is removed; a live one is an error.
absl::Status PrepareUnix(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un{}.sun_path)) {
    return Error(
        absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
        absl::StrCat("the socket path ", path, " has ", path.size(),
                     " characters; the system allows ", sizeof(sockaddr_un{}.sun_path) - 1));
  }
  if (UnixSocketAnswers(path)) return PortInUse("unix:" + path, "another process answers on it");
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  return absl::OkStatus();
}

// Reflection for one server or not. gRPC's library puts it into every builder of the process by
// itself.
class ReflectionOption final : public grpc::ServerBuilderOption {
 public:
  explicit ReflectionOption(bool wanted) : wanted_(wanted) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    auto own = std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>();
    std::erase_if(*plugins, [&](const auto& plugin) { return plugin->name() == own->name(); });
    if (wanted_) plugins->push_back(std::move(own));
  }

 private:
  const bool wanted_;
};

}  // namespace

struct Server::Impl {
  explicit Impl(Logger& log) : logger(log) {}

  absl::Status Ready() const {
    for (Module* module : modules) RETURN_IF_ERROR(module->Ready());
    return absl::OkStatus();
  }

  // grpc.health.v1 says what the modules say, until Stop.
  void FollowHealth(grpc::HealthCheckServiceInterface& health) {
    bool serving = true;
    std::unique_lock lock(health_mutex);
    while (!health_wake.wait_for(lock, absl::ToChronoNanoseconds(options.health_interval),
                                 [this] { return health_stopping; })) {
      lock.unlock();
      const absl::Status ready = Ready();
      lock.lock();
      if (ready.ok() == serving || health_stopping) continue;
      serving = ready.ok();
      health.SetServingStatus(serving);
      logger.Write(serving ? LogLevel::kInfo : LogLevel::kWarning, "rpc_server_health",
                   {{"serving", serving}, {"status", ready}});
    }
  }

  void StopHealth() {
    {
      std::lock_guard lock(health_mutex);
      health_stopping = true;
    }
    health_wake.notify_all();
    if (health_thread.joinable()) health_thread.join();
    if (auto* health = server->GetHealthCheckService()) health->SetServingStatus(false);
  }

  ServerOptions options;
  std::vector<Module*> modules;
  Logger& logger;
  std::unique_ptr<Forwarder> forwarder;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  std::mutex stop_mutex;
  bool stopped = false;
  std::mutex health_mutex;
  std::condition_variable health_wake;
  bool health_stopping = false;
  std::thread health_thread;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() { Stop(); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options,
                                                      std::vector<Module*> modules,
                                                      Logger& logger) {
  static std::once_flag plugins;  // gRPC keeps plugins for the whole process
  std::call_once(plugins, [] { grpc::EnableDefaultHealthCheckService(true); });
  grpc::ServerBuilder builder;
  builder.SetOption(std::make_unique<ReflectionOption>(options.reflection));
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  std::vector<int> ports(options.addresses.size(), 0);
  for (size_t i = 0; i < options.addresses.size(); ++i) {
    const std::string& address = options.addresses[i];
    if (address.starts_with(kUnixPrefix)) {
      RETURN_IF_ERROR(PrepareUnix(address.substr(kUnixPrefix.size())));
    } else {
      RETURN_IF_ERROR(ProbeTcp(address));
    }
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &ports[i]);
  }
  for (Module* module : modules) {
    for (grpc::Service* service : module->Services()) builder.RegisterService(service);
  }
  auto impl = std::make_unique<Impl>(logger);
  if (!options.forwards.empty()) {
    impl->forwarder = std::make_unique<Forwarder>(options.forwards);
    builder.RegisterCallbackGenericService(impl->forwarder.get());
  }
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr) {
    std::string all;
    for (const std::string& address : options.addresses)
      absl::StrAppend(&all, all.empty() ? "" : ", ", address);
    return PortInUse(all, "the server could not bind");
  }
  for (size_t i = 0; i < ports.size() && impl->port == 0; ++i) {
    if (!options.addresses[i].starts_with(kUnixPrefix)) impl->port = ports[i];
  }
  impl->options = std::move(options);
  grpc::HealthCheckServiceInterface* health = impl->server->GetHealthCheckService();
  if (health != nullptr) health->SetServingStatus(false);
  std::unique_ptr<Server> out(new Server(std::move(impl)));
  for (Module* module : modules) {
    out->impl_->modules.push_back(module);  // Stop drains those that were asked to start
    RETURN_IF_ERROR(module->Start());
  }
  if (health != nullptr) {
    health->SetServingStatus(true);
    out->impl_->health_thread =
        std::thread([impl = out->impl_.get(), health] { impl->FollowHealth(*health); });
  }
  logger.Info("rpc_server_started", {{"port", out->port()}});
  return out;
}

int Server::port() const { return impl_->port; }

std::shared_ptr<grpc::Channel> Server::InProcessChannel() {
  return impl_->server->InProcessChannel(grpc::ChannelArguments());
}

absl::Status Server::Ready() const { return impl_->Ready(); }

void Server::Stop() {
  std::lock_guard lock(impl_->stop_mutex);
  if (std::exchange(impl_->stopped, true)) return;
  impl_->StopHealth();
  impl_->logger.Info("rpc_server_draining");
  for (auto it = impl_->modules.rbegin(); it != impl_->modules.rend(); ++it) (*it)->Drain();
  impl_->server->Shutdown(absl::ToChronoTime(SystemClock().Now() + impl_->options.drain_timeout));
  impl_->server->Wait();
  for (const std::string& address : impl_->options.addresses) {
    std::error_code ignored;
    if (address.starts_with(kUnixPrefix))
      std::filesystem::remove(address.substr(kUnixPrefix.size()), ignored);
  }
  impl_->logger.Info("rpc_server_stopped");
}

ShutdownSignal::ShutdownSignal() : event_fd_(::eventfd(0, EFD_CLOEXEC)) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal_fd_ = ::signalfd(-1, &set, SFD_CLOEXEC);
  ::signal(SIGPIPE, SIG_IGN);
}

ShutdownSignal::~ShutdownSignal() {
  ::close(event_fd_);
  ::close(signal_fd_);
}

int ShutdownSignal::Wait() {
  pollfd fds[] = {{signal_fd_, POLLIN, 0}, {event_fd_, POLLIN, 0}};
  for (;;) {
    if (::poll(fds, 2, -1) < 0 && errno == EINTR) continue;
    signalfd_siginfo info;
    if ((fds[0].revents & POLLIN) != 0 && ::read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
      return static_cast<int>(info.ssi_signo);
    }
    if ((fds[1].revents & POLLIN) != 0) return 0;
  }
}

void ShutdownSignal::Trigger() {
  const uint64_t one = 1;
  while (::write(event_fd_, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

}  // namespace crossover::rpc
