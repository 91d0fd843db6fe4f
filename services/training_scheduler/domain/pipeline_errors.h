// What both PipelineStores answer to what is not there.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::scheduler {

inline absl::Status NoPipeline(const std::string& id) {
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", absl::StrCat("no pipeline ", id));
}

}  // namespace crossover::scheduler
