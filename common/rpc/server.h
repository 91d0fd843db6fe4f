// Runs modules on one gRPC server and stops them in order.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/log/logger.h"
#include "common/rpc/forwarder.h"
#include "common/rpc/module.h"

namespace crossover::rpc {

struct ServerOptions {
  std::vector<std::string> addresses = {
      "127.0.0.1:7070"};   // "host:port" (port 0 = any free) and "unix:/path"
  bool reflection = true;  // so that grpcurl knows the methods
  // How often the modules are asked whether they are ready, for grpc.health.v1.
  absl::Duration health_interval = absl::Seconds(2);
  absl::Duration drain_timeout = absl::Seconds(30);  // for calls in progress when stopping
  int max_message_bytes = 64 << 20;
  std::vector<Forward> forwards;  // services of other processes that are reached through this port
};

// Thread-safe.
class Server {
 public:
  // Registers all modules' services and the health service, listens, then starts the modules in
  // order; health turns SERVING when all have started, and follows their Ready() from then on. If
  // one fails, those started are drained.
  // UNAVAILABLE `PORT_IN_USE` names the address. Borrows modules and logger.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options,
                                                       std::vector<Module*> modules,
                                                       Logger& logger);
  ~Server();  // Stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Port of the first TCP address.
  int port() const;

  // A channel that stays inside the process.
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // OK when every module is ready.
  absl::Status Ready() const;

  // Health NOT_SERVING → modules Drain in reverse order → Shutdown(drain_timeout). Idempotent;
  // blocks.
  void Stop();

  struct Impl;

 private:
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Blocks SIGINT and SIGTERM in the calling thread and all threads made afterwards; call it first in
// main. Wait() returns the signal's number. SIGPIPE is ignored.
class ShutdownSignal {
 public:
  ShutdownSignal();
  ~ShutdownSignal();
  int Wait();
  // Makes Wait return 0 from another thread (a fatal error in the background).
  void Trigger();

 private:
  int event_fd_;
  int signal_fd_;
};

}  // namespace crossover::rpc
