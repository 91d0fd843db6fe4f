#include "services/trainer_worker/domain/failure.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::worker {
namespace {

using enum absl::StatusCode;

ErrorClass ClassOf(const absl::Status& status, const std::string& reason) {
  if (reason == "LOSS_NOT_FINITE") return ErrorClass::kUser;
  switch (status.code()) {
    case kInvalidArgument:
    case kUnimplemented:
    case kOutOfRange:
      return ErrorClass::kUser;
    case kResourceExhausted:
    case kUnavailable:
    case kDataLoss:
    case kNotFound:
    case kPermissionDenied:
    case kDeadlineExceeded:
      return ErrorClass::kInfrastructure;
    default:
      return ErrorClass::kPlatform;
  }
}

const char* Advice(const std::string& reason) {
  if (reason == "DISK_FULL") {
    return "; free space on the disk of the data folder, then retry the job: it goes on from its "
           "last checkpoint";
  }
  if (reason == "LOSS_NOT_FINITE") {
    return "; lower learning_rate (or look at the rows named here), then create a new job";
  }
  if (reason == "BLOB_NOT_FOUND") {
    return "; is the worker's blob store the one the data set was sealed into?";
  }
  if (reason == "OUT_OF_MEMORY") {
    return "; lower tokens_per_sequence or batch_size, or use a machine with more memory";
  }
  if (reason == "PEER_LOST") {
    return "; tried again or retried, the job goes on from its last checkpoint; the log of the "
           "worker that left says why";
  }
  return "";
}

}  // namespace

Failure FailureOf(const absl::Status& status) {
  std::string reason = DetailOf(status).reason;
  if (reason.empty()) reason = absl::StatusCodeToString(status.code());
  return {ClassOf(status, reason), reason, absl::StrCat(status.message(), Advice(reason))};
}

}  // namespace crossover::worker
