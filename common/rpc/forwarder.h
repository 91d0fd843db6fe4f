// Hands calls of services that another process serves on to it, as they are: one port for all
// services of a deployment.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "common/rpc/auth.h"

namespace crossover::rpc {

// Calls whose full name ("package.Service/Method") begins with `prefix` go to `channel`.
struct Forward {
  std::string prefix;
  std::shared_ptr<grpc::Channel> channel;
  // Checked here, with the method's access option. nullptr: everyone is ADMIN. Borrowed.
  Authenticator* authenticator = nullptr;
  // The process behind learns by a ServiceToken with this key who calls. Empty: it trusts us, and
  // gets the caller's own authorization.
  std::string service_key = {};
};

// Thread-safe. Bytes, deadline, status and details pass unchanged, of the metadata traceparent and
// who calls; cancellation passes on. Other calls are UNIMPLEMENTED.
class Forwarder final : public grpc::CallbackGenericService {
 public:
  explicit Forwarder(std::vector<Forward> routes) : routes_(std::move(routes)) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  const std::vector<Forward> routes_;
};

}  // namespace crossover::rpc
