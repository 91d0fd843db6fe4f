#include "services/model_server/transport/openai_prompts.h"

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "services/model_server/domain/field_error.h"

namespace crossover::inference {
namespace {

absl::StatusOr<std::vector<int32_t>> ReadIds(const nlohmann::json& list, const std::string& field) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < list.size(); ++i) {
    const bool sound = list[i].is_number_integer() && list[i].get<int64_t>() >= 0 &&
                       list[i].get<int64_t>() <= INT32_MAX;
    if (!sound) return FieldError(absl::StrCat(field, "[", i, "]"), "must be a token id");
    ids.push_back(list[i].get<int32_t>());
  }
  return ids;
}

}  // namespace

absl::StatusOr<std::vector<PlacedPrompt>> ReadPrompts(const nlohmann::json& value,
                                                      const std::string& field) {
  std::vector<PlacedPrompt> prompts;
  if (value.is_string()) {
    prompts.push_back({value.get<std::string>(), field});
    return prompts;
  }
  if (!value.is_array() || value.empty())
    return FieldError(field, "must be a text, token ids, or a list of either");
  if (value[0].is_number()) {
    ASSIGN_OR_RETURN(std::vector<int32_t> ids, ReadIds(value, field));
    prompts.push_back({std::move(ids), field});
    return prompts;
  }
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string path = absl::StrCat(field, "[", i, "]");
    if (value[i].is_string()) {
      prompts.push_back({value[i].get<std::string>(), path});
    } else if (value[i].is_array()) {
      ASSIGN_OR_RETURN(std::vector<int32_t> ids, ReadIds(value[i], path));
      prompts.push_back({std::move(ids), path});
    } else {
      return FieldError(path, "must be a text or a list of token ids");
    }
  }
  return prompts;
}

}  // namespace crossover::inference
