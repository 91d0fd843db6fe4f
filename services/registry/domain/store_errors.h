// Errors that every implementation of RegistryStore gives in the same words.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace crossover::registry {

absl::Status NotFound(const std::string& what);
absl::Status Exists(const std::string& what);
absl::Status EtagMismatch(const std::string& what);
absl::Status InUse(const std::string& what, const std::string& by);

}  // namespace crossover::registry
