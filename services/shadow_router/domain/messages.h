// Chat messages between JSON and the form that prompts are rendered from.
#pragma once

#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"
#include "common/dataset/row.h"

namespace crossover::router {

// The `messages` of a chat request. Lenient, unlike a data set's: what a model's API takes is the
// upstream's business. INVALID_ARGUMENT for what is not a list of objects with a role.
absl::StatusOr<std::vector<dataset::Message>> MessagesFromJson(const nlohmann::json& value);

nlohmann::json MessagesToJson(const std::vector<dataset::Message>& messages);

}  // namespace crossover::router
