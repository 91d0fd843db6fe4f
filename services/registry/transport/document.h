// Documents of the registry to and from protobuf, whatever their type.
#pragma once

#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/registry/domain/registry_store.h"
#include "services/registry/domain/resource.h"

namespace crossover::registry {

// Clears every field that callers cannot set (OUTPUT_ONLY, IDENTIFIER) and the etag.
void ClearOutputFields(google::protobuf::Message& proto);

// JSON of a message with the protos' field names.
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& proto);
absl::Status FromJson(const std::string& json, google::protobuf::Message& proto);

// The document that is stored: without what the resource's own columns hold (name, times, etag,
// state, state_reason).
absl::StatusOr<std::string> DocumentOf(const google::protobuf::Message& proto);

// Fills `proto` from the document and the columns; fields the type does not have are left out.
absl::Status ReadDocument(const Resource& resource, const std::string& name,
                          google::protobuf::Message& proto);

// Copies the masked fields of `given` into `stored`; an empty mask means all that are set.
// InvalidArgument UPDATE_MASK_INVALID for fields that do not exist or cannot be set.
absl::Status ApplyMask(const google::protobuf::Message& given,
                       const google::protobuf::FieldMask& mask, google::protobuf::Message& stored);

// 0 for an empty etag; Aborted ETAG_MISMATCH if it cannot be one of ours.
absl::StatusOr<int64_t> RevisionFromEtag(const std::string& etag);

}  // namespace crossover::registry
