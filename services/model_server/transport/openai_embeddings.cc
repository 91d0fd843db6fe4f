#include "services/model_server/transport/openai_embeddings.h"

#include <bit>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "services/model_server/domain/field_error.h"
#include "services/model_server/transport/openai_fields.h"
#include "services/model_server/transport/openai_prompts.h"

namespace crossover::inference {

static_assert(std::endian::native == std::endian::little, "base64 is of little-endian numbers");

absl::StatusOr<EmbeddingsRequest> ParseEmbeddingsRequest(std::string_view body) {
  const ParsedJson root = ParseBody(body);
  if (!root.is_object())
    return FieldError("body", "must be a JSON object in UTF-8, at most 200 levels deep");
  const auto field = [&](const char* key) -> const ParsedJson& { return Member(root, key); };
  EmbeddingsRequest request;
  if (!field("model").is_string()) return FieldError("model", "is required and must be a text");
  request.command.model = field("model").get<std::string>();
  request.command.list_field = "input";
  ASSIGN_OR_RETURN(std::vector<PlacedPrompt> texts, ReadPrompts(field("input"), "input"));
  for (PlacedPrompt& text : texts) {
    request.command.texts.push_back(std::move(text.prompt));
    request.command.fields.push_back(std::move(text.field));
  }
  if (const ParsedJson& format = field("encoding_format"); !format.is_null()) {
    if (format != "float" && format != "base64")
      return FieldError("encoding_format", "must be float or base64");
    request.base64 = format == "base64";
  }
  if (const ParsedJson& dimensions = field("dimensions"); !dimensions.is_null()) {
    if (!dimensions.is_number_integer()) return FieldError("dimensions", "must be an integer");
    request.command.dimensions = dimensions.get<int64_t>();
  }
  return request;
}

nlohmann::ordered_json EmbeddingsJson(const EmbeddingsRequest& request, const EmbedAnswer& answer) {
  nlohmann::ordered_json data = nlohmann::ordered_json::array();
  for (size_t i = 0; i < answer.embeddings.size(); ++i) {
    const std::vector<float>& vector = answer.embeddings[i];
    nlohmann::ordered_json entry = {{"object", "embedding"}, {"index", i}};
    if (request.base64) {
      entry["embedding"] = absl::Base64Escape(absl::string_view(
          reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)));
    } else {
      entry["embedding"] = vector;
    }
    data.push_back(std::move(entry));
  }
  return {{"object", "list"},
          {"data", std::move(data)},
          {"model", request.command.model},
          {"system_fingerprint", answer.start.fingerprint},
          {"usage", {{"prompt_tokens", answer.usage.input}, {"total_tokens", answer.usage.input}}}};
}

}  // namespace crossover::inference
