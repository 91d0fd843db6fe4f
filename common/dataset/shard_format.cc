#include "common/dataset/shard_format.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/json/canonical.h"
#include "common/status/error.h"

namespace crossover::dataset::internal {

std::string ShardName(size_t number) { return absl::StrFormat("rows-%05d.jsonl.zst", number); }

absl::StatusOr<std::string> ShardIndexToJson(const ShardIndex& index) {
  nlohmann::json value = {{"format", kFormat},
                          {"merkle_root", index.merkle_root},
                          {"rows", index.rows},
                          {"splits", index.splits},
                          {"shards", nlohmann::json::array()}};
  for (const ShardInfo& shard : index.shards) {
    value["shards"].push_back({{"path", shard.path}, {"rows", shard.rows}, {"bytes", shard.bytes}});
  }
  return CanonicalJson(value);
}

absl::StatusOr<ShardIndex> ShardIndexFromJson(std::string_view json) {
  try {
    const nlohmann::json value = nlohmann::json::parse(json);
    if (value.at("format") != kFormat) {
      return Error(absl::StatusCode::kFailedPrecondition, "FORMAT_INVALID",
                   absl::StrCat("dataset.json has format ", value.at("format").dump(), ": ",
                                kFormat, " is read"));
    }
    ShardIndex index;
    index.merkle_root = value.at("merkle_root").get<std::string>();
    index.rows = value.at("rows").get<int64_t>();
    index.splits = value.at("splits").get<std::map<std::string, int64_t>>();
    for (const nlohmann::json& shard : value.at("shards")) {
      index.shards.push_back({shard.at("path").get<std::string>(), shard.at("rows").get<int64_t>(),
                              shard.at("bytes").get<int64_t>()});
    }
    return index;
  } catch (const nlohmann::json::exception& e) {
    return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                 absl::StrCat("dataset.json: ", e.what()));
  }
}

}  // namespace crossover::dataset::internal
