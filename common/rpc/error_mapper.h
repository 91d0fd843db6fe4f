// The one bridge between absl::Status and gRPC's. Uses google.rpc.Status details: ErrorInfo{reason,
// domain "crossover.dev", metadata} always, BadRequest for field violations.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace crossover::rpc {

inline constexpr char kErrorDomain[] = "crossover.dev";

// A status without a reason gets its code's name as reason ("NOT_FOUND"). Messages are cut at 4 KiB
// and details at 8 KiB, to stay within header limits.
grpc::Status ToGrpc(const absl::Status& status);

// The inverse, with reason, metadata and violations restored, whoever sent them. Details that
// cannot be read are ignored.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace crossover::rpc
