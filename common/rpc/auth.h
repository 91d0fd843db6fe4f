// Who calls, and whether they may.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::rpc {

// The roles of crossover/type/v1/access.proto, with its numbers. VIEWER < DEVELOPER < OPERATOR <
// ADMIN; WORKER and SERVICE stand apart.
enum class Role {
  kUnspecified = 0,
  kViewer = 1,
  kDeveloper = 2,
  kOperator = 3,
  kAdmin = 4,
  kWorker = 5,
  kService = 6,
};

struct Principal {
  std::string name;     // "apiKeys/06b…", "loopback", "service/scheduler"
  std::string project;  // "projects/default"; empty = all
  Role role = Role::kUnspecified;
};

// Thread-safe. Called for each call, before its handler; must answer from memory or cache.
class Authenticator {
 public:
  virtual ~Authenticator() = default;

  // `authorization` is the whole header ("Bearer sk-…") or empty; `peer` as gRPC prints it
  // ("ipv4:127.0.0.1:5000", "unix:"). UNAUTHENTICATED `API_KEY_MISSING` or `API_KEY_INVALID`.
  virtual absl::StatusOr<Principal> Authenticate(std::string_view authorization,
                                                 std::string_view peer) = 0;
};

// For the embedded default: callers from loopback, a Unix socket or this process are ADMIN without
// a key; others are refused.
class LoopbackAuthenticator final : public Authenticator {
 public:
  absl::StatusOr<Principal> Authenticate(std::string_view authorization,
                                         std::string_view peer) override;
};

// Who may call a method: `role` and those above it, and each of `also`.
struct MethodAccess {
  Role role = Role::kUnspecified;
  std::vector<Role> also;
};

// ADMIN may call everything, and is the only one who may call a method without an access option:
// what was forgotten stays closed. (Health and reflection do not come this way; they are open.)
bool Allows(const MethodAccess& access, Role have);

// Option (crossover.type.v1.access) of "package.Service/Method", read from the linked-in
// descriptors; empty if the method or the option is unknown.
MethodAccess AccessOf(std::string_view full_method);

// Whether the descriptor of "package.Service/Method" is linked into this program.
bool KnowsMethod(std::string_view full_method);

}  // namespace crossover::rpc
