// Names of the router's resources, checked against the project the caller may use. Private to
// transport.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/shadow_router/domain/route.h"

namespace crossover::router {

// list::ParseName, and PERMISSION_DENIED RESOURCE_FORBIDDEN if the calling key belongs to another
// project. The first segment is the project.
absl::StatusOr<std::vector<std::string>> ParseScoped(std::string_view name,
                                                     std::string_view pattern,
                                                     std::string_view field = "name");

// The same for what a resource refers to; OK if `name` is empty or no resource of a project.
absl::Status CheckOwn(std::string_view name);
// Of a route: its task, prompts and upstreams.
absl::Status CheckReferences(const Route& route);

// A method that the interface has and this binary does not serve yet. `instead` says what to do.
absl::Status NotImplemented(std::string_view what, std::string_view instead);

}  // namespace crossover::router
