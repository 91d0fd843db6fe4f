#include "common/dataset/leaf.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/dataset/identity_json.h"
#include "common/dataset/message_json.h"
#include "common/dataset/row_json.h"
#include "common/json/canonical.h"
#include "common/status/status_macros.h"

namespace crossover::dataset {
namespace {

using internal::FieldError;
using internal::Json;

bool HasOwnWeights(const Row& row) {
  return std::any_of(row.messages.begin(), row.messages.end(),
                     [](const Message& message) { return message.weight.has_value(); });
}

absl::Status ApplyWeights(const Json& leaf, Row& row) {
  const Json* weights = internal::Find(leaf, "weights");
  if (weights == nullptr) return absl::OkStatus();
  if (!weights->is_array() || weights->size() != row.messages.size()) {
    return FieldError("weights", "must be an array with one number per message");
  }
  for (size_t i = 0; i < row.messages.size(); ++i) {
    if (!(*weights)[i].is_number())
      return FieldError(internal::At("weights", i), "must be a number");
    if (row.messages[i].role == "assistant") row.messages[i].weight = (*weights)[i].get<double>();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> LeafBytes(const Row& row) {
  if (row.split != kTrain && row.split != kValidation && row.split != kTest) {
    return FieldError("split",
                      absl::StrCat("is `", row.split, "`: must be train, validation or test"));
  }
  ASSIGN_OR_RETURN(Json identity, internal::IdentityJson(row));
  Json leaf = {{"row", std::move(identity)}, {"split", row.split}, {"weight", row.weight}};
  if (HasOwnWeights(row)) {
    for (size_t i = 0; i < row.messages.size(); ++i) leaf["weights"].push_back(LossWeight(row, i));
  }
  if (!row.cluster.empty()) leaf["cluster"] = row.cluster;
  if (!row.group.empty()) leaf["group"] = internal::GroupToJson(row.group);
  if (!row.logprobs.empty()) {
    ASSIGN_OR_RETURN(leaf["logprobs"], internal::ParseJson(row.logprobs, "logprobs"));
  }
  return CanonicalJson(leaf);
}

absl::StatusOr<Row> ParseLeaf(std::string_view leaf) {
  ASSIGN_OR_RETURN(Json value, internal::ParseJson(leaf, "leaf"));
  if (!value.is_object() || !value.contains("row") || !value["row"].is_object()) {
    return FieldError("leaf", "must be an object {row, split, weight, weights, cluster, group}");
  }
  Json flat = std::move(value["row"]);
  for (const char* key : {"split", "weight", "cluster", "group", "logprobs"}) {
    if (value.contains(key)) flat[key] = value[key];
  }
  ASSIGN_OR_RETURN(Row row, internal::RowFromJson(flat));
  RETURN_IF_ERROR(ApplyWeights(value, row));
  return row;
}

}  // namespace crossover::dataset
