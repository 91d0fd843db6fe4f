// The router's own process as the front of a deployment: it hosts the registry, checks API keys
// with it, and passes the calls of the services behind it on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/rpc/module.h"
#include "common/service/service_main.h"
#include "services/shadow_router/module.h"

namespace crossover::router {

struct GatewayOptions {
  std::string http_address = "127.0.0.1:8080";  // of the data plane
  std::string registry = "127.0.0.1:7070";      // this process
  std::string admin_key;                        // ADMIN of every project; empty = there is none
  // Where calls of the services behind go; empty = UNIMPLEMENTED.
  std::string curation = "127.0.0.1:7071";
  std::string scheduler = "127.0.0.1:7072";
  std::string inference = "127.0.0.1:7073";
  std::string evaluation = "127.0.0.1:7074";
};

// Registry and router for `runtime`, which is told what to pass on. Makes the journal's folder.
absl::StatusOr<std::vector<std::unique_ptr<rpc::Module>>> BuildGateway(
    const GatewayOptions& gateway, Options router, service::Runtime& runtime);

}  // namespace crossover::router
