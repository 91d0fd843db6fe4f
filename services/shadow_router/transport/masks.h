// Update masks: which fields of a resource a request wants to change. Private to transport.
#pragma once

#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/message.h>

#include <set>
#include <string>

#include "absl/status/status.h"

namespace crossover::router {

// Copies into `stored` what the mask names of `wanted` (absent mask: every field that is set).
// INVALID_ARGUMENT `UPDATE_MASK_INVALID` for a field that does not exist or is not among `allowed`
// (empty: all may change).
absl::Status ApplyMask(const google::protobuf::Message& wanted,
                       const google::protobuf::FieldMask& mask,
                       const std::set<std::string>& allowed, google::protobuf::Message& stored);

}  // namespace crossover::router
