// Errors with a reason that programs can read and a message that people can act on.
//
// The domain returns absl::Status built by Error(); common/rpc maps it to google.rpc.Status with
// ErrorInfo and BadRequest, the OpenAI edge to its error body. A message says what was wrong, where
// (file, line, field, row) and what would be right.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace crossover {

// One field of a request that is wrong. `field` is a path such as
// `rows[536].messages[2].tool_calls[0].arguments`.
struct FieldViolation {
  std::string field;
  std::string description;
};

// What an error carries beside its code and message. `reason` is UPPER_SNAKE_CASE from
// type/v1/error_reason.proto.
struct ErrorDetail {
  std::string reason;
  std::map<std::string, std::string> metadata;
  std::vector<FieldViolation> violations;
};

// Builds a status that carries `detail`. `code` must not be OK.
absl::Status Error(absl::StatusCode code, std::string_view message, ErrorDetail detail);

// Error() for the common case of a reason alone.
absl::Status Error(absl::StatusCode code, std::string_view reason, std::string_view message);

// The detail of a status built by Error(); an empty one (reason "") for any other status.
ErrorDetail DetailOf(const absl::Status& status);

// True if the status carries this reason.
bool HasReason(const absl::Status& status, std::string_view reason);

// The same status with `context` and ": " put before its message. Code and detail are kept. OK
// stays OK.
absl::Status WithContext(const absl::Status& status, std::string_view context);

}  // namespace crossover
