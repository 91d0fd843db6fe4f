// Resource names of requests, and whose they are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/evaluation/domain/system.h"

namespace crossover::evaluation {

// list::ParseName of a name that begins with a project. PermissionDenied RESOURCE_FORBIDDEN if the
// caller's key belongs to another project.
absl::StatusOr<std::vector<std::string>> ParseScoped(std::string_view name,
                                                     std::string_view pattern,
                                                     std::string_view field = "name");

// The same for a name that a request refers to, whatever its kind; empty is fine.
absl::Status CheckScope(std::string_view name, std::string_view field);
// The names inside a system: its prompt, its upstream and a model given by resource name.
absl::Status CheckScope(const System& system, std::string_view field);

}  // namespace crossover::evaluation
