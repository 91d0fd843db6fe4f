// What a service is to the process that hosts it: its own binary or the platform.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace crossover::rpc {

// Built by each service's `Create(Options, Deps)`. Order of calls: Services (server is built) →
// Start → … → Drain → destructor.
class Module {
 public:
  virtual ~Module() = default;

  // The gRPC services to register (callback API); owned by the module, alive until its destructor.
  // Called once.
  virtual std::vector<grpc::Service*> Services() = 0;

  // Starts background work (pollers, listeners, HTTP servers). The server already answers when this
  // is called, so a module may call the others here.
  virtual absl::Status Start() = 0;

  // Stops taking work, checkpoints, releases leases, finishes parked streams and long polls, joins
  // threads. Blocks, bounded by the module's own timeouts; called once, while calls in progress may
  // still run. Idempotent.
  virtual void Drain() = 0;

  // OK when the module can do its work (database reachable, model loaded): /readyz and
  // grpc.health.v1.
  virtual absl::Status Ready() { return absl::OkStatus(); }
};

}  // namespace crossover::rpc
