// Who calls, and whether they may.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::rpc {

// VIEWER < DEVELOPER < OPERATOR < ADMIN; WORKER and SERVICE stand apart (ADMIN may do what they may). Same numbers as
// crossover.type.v1.Role.
enum class Role { kUnspecified = 0, kViewer = 1, kDeveloper = 2, kOperator = 3, kAdmin = 4, kWorker = 5, kService = 6 };

struct Principal {
  std::string name;     // "apiKeys/06b…", "loopback", "service/scheduler"
  std::string project;  // "projects/default"; empty = all
  Role role = Role::kUnspecified;
};

// Thread-safe. Called for each call, before its handler; must answer from memory or cache.
class Authenticator {
 public:
  virtual ~Authenticator() = default;

  // `authorization` is the whole header ("Bearer sk-…") or empty; `peer` as gRPC prints it ("ipv4:127.0.0.1:5000", "unix:").
  // UNAUTHENTICATED `API_KEY_MISSING` or `API_KEY_INVALID`.
  virtual absl::StatusOr<Principal> Authenticate(std::string_view authorization, std::string_view peer) = 0;
};

// For the embedded default: callers from loopback, a Unix socket or this process are ADMIN without a key; others are refused.
class LoopbackAuthenticator final : public Authenticator {
 public:
  absl::StatusOr<Principal> Authenticate(std::string_view authorization, std::string_view peer) override;
};

// True if a principal with `have` may call a method that needs `need`.
bool RoleAllows(Role have, Role need);

// The role that option (crossover.type.v1.access).role of "/package.Service/Method" asks for, read from the linked-in
// descriptors; kUnspecified if the method or the option is unknown.
Role RequiredRole(std::string_view full_method);

}  // namespace crossover::rpc
