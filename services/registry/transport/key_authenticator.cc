#include "services/registry/transport/key_authenticator.h"

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::registry {
namespace {

constexpr std::string_view kBearer = "Bearer ";
constexpr size_t kMaxCached = 10000;

absl::Status KeyInvalid(std::string_view hint = "") {
  return Error(absl::StatusCode::kUnauthenticated, "API_KEY_INVALID",
               absl::StrCat("the key is unknown, revoked or expired", ToAbsl(hint)));
}

}  // namespace

absl::StatusOr<rpc::Principal> KeyAuthenticator::Authenticate(std::string_view authorization,
                                                              std::string_view peer) {
  if (authorization.empty()) {
    if (without_key_ != nullptr) return without_key_->Authenticate(authorization, peer);
    return Error(absl::StatusCode::kUnauthenticated, "API_KEY_MISSING",
                 "this server needs a key: send `authorization: Bearer xo-…`");
  }
  if (authorization.substr(0, kBearer.size()) != kBearer) return KeyInvalid();
  const std::string hash = HashSecret(authorization.substr(kBearer.size()));
  {
    const std::lock_guard lock(mutex_);
    const auto known = cache_.find(hash);
    if (known != cache_.end() && known->second.first > clock_.SteadyNow())
      return known->second.second;
  }
  const absl::StatusOr<ApiKey> key = store_.FindKey(hash);
  if (HasReason(key.status(), "RESOURCE_NOT_FOUND")) return WithUnknownKey(peer);
  RETURN_IF_ERROR(key.status());
  if (!Accepts(*key, hash, clock_.Now())) return KeyInvalid();
  const rpc::Principal principal{absl::StrCat("apiKeys/", key->id),
                                 absl::StrCat("projects/", key->project),
                                 static_cast<rpc::Role>(key->role)};
  const std::lock_guard lock(mutex_);
  if (cache_.size() >= kMaxCached) cache_.clear();
  cache_[hash] = {clock_.SteadyNow() + cache_for_, principal};
  return principal;
}

// Never cached: it depends on where the caller is.
absl::StatusOr<rpc::Principal> KeyAuthenticator::WithUnknownKey(std::string_view peer) {
  if (without_key_ == nullptr) return KeyInvalid();
  const absl::StatusOr<rpc::Principal> keyless = without_key_->Authenticate("", peer);
  if (!keyless.ok()) return KeyInvalid();
  ASSIGN_OR_RETURN(const bool there_are_keys, store_.AnyKeyOpens(clock_.Now()));
  if (!there_are_keys) return keyless;
  return KeyInvalid(
      "; from this machine no key is needed: leave the authorization header out, or make a key "
      "(ProjectService.CreateApiKey)");
}

}  // namespace crossover::registry
