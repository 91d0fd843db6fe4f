// Callers by the rule that gRPC has: the authenticator says who it is, the registry what its key
// may use.
#pragma once

#include <grpcpp/channel.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/auth.h"
#include "common/time/clock.h"
#include "crossover/registry/v1/project_service.grpc.pb.h"
#include "services/shadow_router/domain/caller.h"

namespace crossover::router {

// Thread-safe. Borrows authenticator and clock. Answers are kept for five seconds, refusals too: a
// revoked key may be accepted that much longer. While the registry or its database can't be reached
// a key that was seen keeps the limits it had; one that was not is refused with UNAVAILABLE.
class RegistryCallers final : public Callers {
 public:
  RegistryCallers(rpc::Authenticator& authenticator, const std::shared_ptr<grpc::Channel>& registry,
                  Clock& clock);

  std::optional<absl::StatusOr<Caller>> Known(std::string_view authorization,
                                              std::string_view peer) override;
  absl::StatusOr<Caller> Find(std::string_view authorization, std::string_view peer) override;

 private:
  struct Entry {
    absl::StatusOr<Caller> caller;
    absl::Duration fresh_until;
  };

  absl::StatusOr<Caller> Ask(std::string_view authorization, std::string_view peer);
  absl::StatusOr<Caller> LookUp(const rpc::Principal& principal);
  // Who sent this before, or `why` if nobody did.
  absl::StatusOr<Caller> LastSeen(const std::string& sender, const absl::Status& why);

  rpc::Authenticator& authenticator_;
  Clock& clock_;
  std::unique_ptr<registry::v1::ProjectService::Stub> projects_;
  absl::Mutex mutex_;
  std::map<std::string, Entry> known_ ABSL_GUARDED_BY(mutex_);  // By SenderOf.
};

// "127.0.0.1:5000" and "::1:5000" as gRPC prints a peer: "ipv4:127.0.0.1:5000", "ipv6:[::1]:5000".
std::string GrpcPeer(std::string_view peer);

}  // namespace crossover::router
