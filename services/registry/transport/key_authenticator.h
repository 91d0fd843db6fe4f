// Who a bearer secret belongs to, answered from the registry's own store.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "common/rpc/auth.h"
#include "common/time/clock.h"
#include "services/registry/domain/registry_store.h"

namespace crossover::registry {

// Thread-safe. Borrows everything. Answers are kept for `cache_for`, so that a revoked key may be
// accepted that much longer.
class KeyAuthenticator final : public rpc::Authenticator {
 public:
  // `without_key` decides about callers that send no key (rpc::LoopbackAuthenticator in the
  // embedded default); null = refused. Whom it lets in may send any key as long as the store has
  // none that opens: OpenAI clients always send one.
  KeyAuthenticator(RegistryStore& store, Clock& clock, rpc::Authenticator* without_key,
                   absl::Duration cache_for = absl::Seconds(5))
      : store_(store), clock_(clock), without_key_(without_key), cache_for_(cache_for) {}

  absl::StatusOr<rpc::Principal> Authenticate(std::string_view authorization,
                                              std::string_view peer) override;

 private:
  absl::StatusOr<rpc::Principal> WithUnknownKey(std::string_view peer);

  RegistryStore& store_;
  Clock& clock_;
  rpc::Authenticator* without_key_;
  const absl::Duration cache_for_;
  std::mutex mutex_;
  std::map<std::string, std::pair<absl::Duration, rpc::Principal>>
      cache_;  // by hash: until when, who
};

}  // namespace crossover::registry
