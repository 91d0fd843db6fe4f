// Keys to and from registry.v1.
#pragma once

#include "absl/status/statusor.h"
#include "crossover/registry/v1/project.pb.h"
#include "services/registry/domain/api_key.h"

namespace crossover::registry {

std::string KeyName(const ApiKey& key);
// Without the secret.
absl::StatusOr<v1::ApiKey> ToProto(const ApiKey& key);
// Role, expire_time and the document (display_name, labels, limits, routes) of `proto`; the rest of
// `key` stays.
absl::Status PutSettings(const v1::ApiKey& proto, ApiKey& key);

}  // namespace crossover::registry
