// What makes a repeat of a request known as one.
#pragma once

#include <google/protobuf/message.h>

#include "absl/status/statusor.h"
#include "common/id/request_id.h"

namespace crossover::rpc {

// How the digest names fields: as JSON does (displayName) or as the protos do (display_name). A
// service keeps to one, as it stores digests for good.
enum class FieldNames { kJson, kProto };

// The request's request_id and a digest of the rest of it, the same for equal requests.
// INVALID_ARGUMENT FIELD_INVALID for an id that is no UUID; INTERNAL for a message that has no such
// field.
absl::StatusOr<RequestKey> RequestKeyOf(const google::protobuf::Message& request, FieldNames names);

}  // namespace crossover::rpc
