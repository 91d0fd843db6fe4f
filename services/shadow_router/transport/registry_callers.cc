#include "services/shadow_router/transport/registry_callers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/rpc/channel.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/transport/convert_util.h"

namespace crossover::router {
namespace {

namespace reg = ::crossover::registry::v1;

constexpr absl::Duration kFreshFor = absl::Seconds(5);
constexpr absl::Duration kKeyTimeout = absl::Seconds(2);
constexpr size_t kMaxKnown = 10'000;

Caller CallerOf(const rpc::Principal& principal) {
  using rpc::Role;
  return {.name = principal.name,
          .project = principal.project,
          .may_read = rpc::Allows({Role::kViewer, {Role::kService}}, principal.role),
          .may_call = rpc::Allows({Role::kDeveloper, {Role::kService}}, principal.role)};
}

bool IsKey(const rpc::Principal& principal) { return principal.name.rfind("apiKeys/", 0) == 0; }

// The header's digest, and whether it came from this machine: what is let in from here may not be
// from elsewhere.
std::string SenderOf(std::string_view authorization, std::string_view peer) {
  const bool here = rpc::LoopbackAuthenticator().Authenticate("", GrpcPeer(peer)).ok();
  return absl::StrCat(DigestOf(authorization), here ? " from here" : "");
}

}  // namespace

std::string GrpcPeer(std::string_view peer) {
  const size_t colon = peer.rfind(':');
  if (colon == std::string_view::npos) return "unknown";  // Never an empty one: that is ourselves.
  const bool v6 = peer.find(':') != colon;
  if (!v6) return absl::StrCat("ipv4:", ToAbsl(peer));
  return absl::StrCat("ipv6:[", ToAbsl(peer.substr(0, colon)), "]", ToAbsl(peer.substr(colon)));
}

RegistryCallers::RegistryCallers(rpc::Authenticator& authenticator,
                                 const std::shared_ptr<grpc::Channel>& registry, Clock& clock)
    : authenticator_(authenticator),
      clock_(clock),
      projects_(reg::ProjectService::NewStub(registry)) {}

std::optional<absl::StatusOr<Caller>> RegistryCallers::Known(std::string_view authorization,
                                                             std::string_view peer) {
  // Whether a caller without a key is let in depends on where it calls from; that is quickly said.
  if (authorization.empty()) {
    const auto principal = authenticator_.Authenticate("", GrpcPeer(peer));
    if (!principal.ok()) return principal.status();
    return CallerOf(*principal);
  }
  absl::MutexLock lock(&mutex_);
  const auto it = known_.find(SenderOf(authorization, peer));
  if (it == known_.end() || it->second.fresh_until <= clock_.SteadyNow()) return std::nullopt;
  return it->second.caller;
}

absl::StatusOr<Caller> RegistryCallers::Find(std::string_view authorization,
                                             std::string_view peer) {
  absl::StatusOr<Caller> caller = Ask(authorization, peer);
  if (authorization.empty()) return caller;  // Asked for each time.
  const std::string sender = SenderOf(authorization, peer);
  const bool refused = absl::IsUnauthenticated(caller.status());
  if (!caller.ok() && !refused) caller = LastSeen(sender, caller.status());
  // Nobody could say: that is not worth remembering.
  if (!caller.ok() && !refused) return caller;
  absl::MutexLock lock(&mutex_);
  if (known_.size() >= kMaxKnown) known_.clear();
  known_.insert_or_assign(sender, Entry{caller, clock_.SteadyNow() + kFreshFor});
  return caller;
}

absl::StatusOr<Caller> RegistryCallers::Ask(std::string_view authorization, std::string_view peer) {
  ASSIGN_OR_RETURN(const rpc::Principal principal,
                   authenticator_.Authenticate(authorization, GrpcPeer(peer)));
  return IsKey(principal) ? LookUp(principal) : CallerOf(principal);
}

absl::StatusOr<Caller> RegistryCallers::LastSeen(const std::string& sender,
                                                 const absl::Status& why) {
  absl::MutexLock lock(&mutex_);
  const auto it = known_.find(sender);
  if (it == known_.end() || !it->second.caller.ok()) return why;
  return it->second.caller;
}

absl::StatusOr<Caller> RegistryCallers::LookUp(const rpc::Principal& principal) {
  reg::GetApiKeyRequest request;
  request.set_name(absl::StrCat(principal.project, "/", principal.name));
  const absl::StatusOr<reg::ApiKey> key =
      rpc::Invoke(*projects_, &reg::ProjectService::Stub::GetApiKey, request,
                  {.timeout = kKeyTimeout, .max_attempts = 1});
  if (!key.ok()) {
    return Error(absl::StatusCode::kUnavailable, "SERVICE_UNAVAILABLE",
                 absl::StrCat("what this key may use cannot be read from the registry: ",
                              key.status().message()));
  }
  Caller caller = CallerOf(principal);
  caller.routes.assign(key->routes().begin(), key->routes().end());
  caller.limits = {.requests_per_minute = key->limits().requests_per_minute(),
                   .tokens_per_minute = key->limits().tokens_per_minute(),
                   .spend_per_day_usd = ToUsd(key->limits().spend_per_day())};
  return caller;
}

}  // namespace crossover::router
