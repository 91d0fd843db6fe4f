// Texts and token ids as /v1/completions and /v1/embeddings take them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/model_server/domain/command.h"

namespace crossover::inference {

struct PlacedPrompt {
  Prompt prompt;
  std::string field;  // Where it stands: `field`, or `field[i]` of a list.
};

// A text, a list of texts, a list of token ids or a list of such lists. INVALID_ARGUMENT
// `FIELD_INVALID` with the path below `field`.
absl::StatusOr<std::vector<PlacedPrompt>> ReadPrompts(const nlohmann::json& value,
                                                      const std::string& field);

}  // namespace crossover::inference
