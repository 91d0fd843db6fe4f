// What both WebhookStores answer to what is not there.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::scheduler {

inline absl::Status NoEndpoint(const std::string& id) {
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("no webhook endpoint ", id));
}

inline absl::Status NoDelivery(const std::string& id) {
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("the webhook endpoint has no delivery ", id));
}

inline absl::Status EndpointChanged(const std::string& id) {
  return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
               absl::StrCat("webhook endpoint ", id,
                            " has changed since it was read; read it again, merge, and repeat"));
}

}  // namespace crossover::scheduler
