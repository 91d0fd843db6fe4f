// Private to common/dataset: names and JSON of a shard folder.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/dataset/shard.h"

namespace crossover::dataset::internal {

inline constexpr char kIndexFile[] = "dataset.json";
inline constexpr char kFormat[] = "crossover.dataset.v1";

std::string ShardName(size_t number);  // rows-00000.jsonl.zst
absl::StatusOr<std::string> ShardIndexToJson(const ShardIndex& index);
absl::StatusOr<ShardIndex> ShardIndexFromJson(std::string_view json);

}  // namespace crossover::dataset::internal
