#include "services/registry/transport/key_convert.h"

#include <google/protobuf/util/time_util.h>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "services/registry/transport/document.h"
#include "services/registry/transport/names.h"
#include "services/registry/transport/timestamp.h"

namespace crossover::registry {
std::string KeyName(const ApiKey& key) {
  return absl::StrCat("projects/", key.project, "/apiKeys/", key.id);
}

absl::StatusOr<v1::ApiKey> ToProto(const ApiKey& key) {
  v1::ApiKey proto;
  RETURN_IF_ERROR(FromJson(key.document, proto));
  proto.set_name(KeyName(key));
  *proto.mutable_create_time() = Stamp(key.create_time);
  *proto.mutable_update_time() = Stamp(key.update_time);
  proto.set_etag(absl::StrCat(key.revision));
  proto.set_role(static_cast<crossover::type::v1::Role>(key.role));
  proto.set_key_hash(key.key_hash);
  proto.set_prefix(key.prefix);
  if (key.expire_time.has_value()) *proto.mutable_expire_time() = Stamp(*key.expire_time);
  proto.set_state(key.revoked ? v1::ApiKey::REVOKED : v1::ApiKey::ACTIVE);
  return proto;
}

absl::Status PutSettings(const v1::ApiKey& proto, ApiKey& key) {
  RETURN_IF_ERROR(CheckLabels(proto.labels()));
  if (proto.role() == crossover::type::v1::ROLE_UNSPECIFIED) return FieldRequired("api_key.role");
  key.role = proto.role();
  key.expire_time.reset();
  if (proto.has_expire_time()) {
    key.expire_time = absl::FromUnixMicros(
        google::protobuf::util::TimeUtil::TimestampToMicroseconds(proto.expire_time()));
  }
  v1::ApiKey settings = proto;
  ClearOutputFields(settings);
  settings.clear_role();
  settings.clear_expire_time();
  ASSIGN_OR_RETURN(key.document, DocumentOf(settings));
  return absl::OkStatus();
}

}  // namespace crossover::registry
