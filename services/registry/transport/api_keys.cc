// The methods of ProjectService that concern keys.
#include <google/protobuf/util/time_util.h>

#include <utility>

#include "common/rpc/request_key.h"
#include "services/registry/transport/key_convert.h"
#include "services/registry/transport/project_service.h"

namespace crossover::registry {
namespace {

std::optional<std::string> KeyField(const ApiKey& key, const std::string& field) {
  if (field == "prefix") return key.prefix;
  if (field == "state") return key.revoked ? "REVOKED" : "ACTIVE";
  if (field == "role")
    return crossover::type::v1::Role_Name(static_cast<crossover::type::v1::Role>(key.role));
  return std::nullopt;
}

absl::Status UnknownKey() {
  return Error(absl::StatusCode::kUnauthenticated, "API_KEY_INVALID",
               "the key is unknown, revoked or expired");
}

}  // namespace

absl::StatusOr<ApiKey> ProjectServiceImpl::FindKey(const std::string& name) {
  ASSIGN_OR_RETURN(const auto parts, ParseScoped(name, "projects/*/apiKeys/*", "name"));
  return store_.GetKey(parts[0], parts[1]);
}

absl::Status ProjectServiceImpl::DoCreateApiKey(const v1::CreateApiKeyRequest& request,
                                                v1::ApiKey& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), "projects/*", "parent"));
  const std::string secret = NewSecret(random_);
  ApiKey key{.project = parent[0],
             .id = ids_.NextId(),
             .key_hash = HashSecret(secret),
             .prefix = PrefixOf(secret)};
  RETURN_IF_ERROR(PutSettings(request.api_key(), key));
  ASSIGN_OR_RETURN(const RequestKey request_key,
                   rpc::RequestKeyOf(request, rpc::FieldNames::kProto));
  ASSIGN_OR_RETURN(const ApiKey stored, store_.CreateKey(key, request_key));
  ASSIGN_OR_RETURN(response, ToProto(stored));
  // A repeated request finds the key that the first one made; its secret was shown then and is kept
  // nowhere.
  if (stored.id == key.id) response.set_secret(secret);
  return absl::OkStatus();
}

absl::Status ProjectServiceImpl::DoGetApiKey(const v1::GetApiKeyRequest& request,
                                             v1::ApiKey& response) {
  ASSIGN_OR_RETURN(const ApiKey key, FindKey(request.name()));
  ASSIGN_OR_RETURN(response, ToProto(key));
  return absl::OkStatus();
}

absl::Status ProjectServiceImpl::DoListApiKeys(const v1::ListApiKeysRequest& request,
                                               v1::ListApiKeysResponse& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), "projects/*", "parent"));
  ASSIGN_OR_RETURN(
      const Listed<ApiKey> listed,
      ListFiltered<ApiKey>(
          {"keys|" + parent[0], request.page_size(), request.page_token(), request.filter(),
           request.order_by()},
          {"role", "state", "prefix"},
          [&](const PageQuery& query) { return store_.ListKeys(parent[0], query); }, KeyField));
  for (const ApiKey& key : listed.records) {
    ASSIGN_OR_RETURN(*response.add_api_keys(), ToProto(key));
  }
  response.set_next_page_token(listed.next_page_token);
  return absl::OkStatus();
}

absl::Status ProjectServiceImpl::DoUpdateApiKey(const v1::UpdateApiKeyRequest& request,
                                                v1::ApiKey& response) {
  ASSIGN_OR_RETURN(ApiKey key, FindKey(request.api_key().name()));
  ASSIGN_OR_RETURN(v1::ApiKey proto, ToProto(key));
  ASSIGN_OR_RETURN(const int64_t revision, RevisionFromEtag(request.api_key().etag()));
  if (!request.api_key().etag().empty()) key.revision = revision;
  RETURN_IF_ERROR(ApplyMask(request.api_key(), request.update_mask(), proto));
  RETURN_IF_ERROR(PutSettings(proto, key));
  ASSIGN_OR_RETURN(key, store_.UpdateKey(key));
  ASSIGN_OR_RETURN(response, ToProto(key));
  return absl::OkStatus();
}

absl::Status ProjectServiceImpl::DoRevokeApiKey(const v1::RevokeApiKeyRequest& request,
                                                v1::ApiKey& response) {
  ASSIGN_OR_RETURN(ApiKey key, FindKey(request.name()));
  key.revoked = true;
  ASSIGN_OR_RETURN(key, store_.UpdateKey(key));
  ASSIGN_OR_RETURN(response, ToProto(key));
  return absl::OkStatus();
}

absl::Status ProjectServiceImpl::DoRotateApiKey(const v1::RotateApiKeyRequest& request,
                                                v1::ApiKey& response) {
  ASSIGN_OR_RETURN(ApiKey key, FindKey(request.name()));
  if (key.revoked)
    return Error(absl::StatusCode::kFailedPrecondition, "STATE_INVALID",
                 "the key is REVOKED for ever");
  const std::string secret = NewSecret(random_);
  const absl::Duration grace =
      absl::Microseconds(google::protobuf::util::TimeUtil::DurationToMicroseconds(request.grace()));
  key.former_hash = grace > absl::ZeroDuration() ? key.key_hash : "";
  key.former_expire_time.reset();
  if (grace > absl::ZeroDuration()) key.former_expire_time = clock_.Now() + grace;
  key.key_hash = HashSecret(secret);
  key.prefix = PrefixOf(secret);
  ASSIGN_OR_RETURN(key, store_.UpdateKey(key));
  ASSIGN_OR_RETURN(response, ToProto(key));
  response.set_secret(secret);
  return absl::OkStatus();
}

absl::Status ProjectServiceImpl::DoAuthenticateKey(const v1::AuthenticateKeyRequest& request,
                                                   v1::AuthenticateKeyResponse& response) {
  const absl::StatusOr<ApiKey> key = store_.FindKey(request.secret_hash());
  if (HasReason(key.status(), "RESOURCE_NOT_FOUND")) return UnknownKey();
  RETURN_IF_ERROR(key.status());
  if (!Accepts(*key, request.secret_hash(), clock_.Now())) return UnknownKey();
  ASSIGN_OR_RETURN(*response.mutable_api_key(), ToProto(*key));
  response.set_project("projects/" + key->project);
  return absl::OkStatus();
}

}  // namespace crossover::registry
