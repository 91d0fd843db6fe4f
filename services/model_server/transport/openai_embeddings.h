// The embeddings contract.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {

struct EmbeddingsRequest {
  EmbedCommand command;
  bool base64 = false;  // encoding_format: little-endian fp32 in base64, else a list of numbers.
};

// INVALID_ARGUMENT `FIELD_INVALID` with the path of the field.
absl::StatusOr<EmbeddingsRequest> ParseEmbeddingsRequest(std::string_view body);

nlohmann::ordered_json EmbeddingsJson(const EmbeddingsRequest& request, const EmbedAnswer& answer);

}  // namespace crossover::inference
