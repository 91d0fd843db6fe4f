// Resource names (AIP-122): `projects/default/datasets/packages/runs/06b…`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::list {

// The variable segments of `name`, given a pattern such as `projects/*/datasets/*`. `field` is what
// errors call it. InvalidArgument FIELD_REQUIRED if the name is empty, FIELD_INVALID if it has
// another shape.
absl::StatusOr<std::vector<std::string>> ParseName(std::string_view name, std::string_view pattern,
                                                   std::string_view field = "name");

// OK for [a-z]([a-z0-9-]{0,61}[a-z0-9])?, what people may call things. InvalidArgument
// FIELD_INVALID otherwise.
absl::Status CheckSlug(std::string_view slug, std::string_view field);

}  // namespace crossover::list
