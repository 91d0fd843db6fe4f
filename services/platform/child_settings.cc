#include "services/platform/child_settings.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::platform {
namespace {

constexpr int kMostWorkers = 64;  // as Requirements.gang_size

absl::Status OneOf(const std::string& flag, const std::string& value,
                   const std::vector<std::string>& known) {
  if (value.empty() || std::find(known.begin(), known.end(), value) != known.end())
    return absl::OkStatus();
  return Error(
      absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
      absl::StrCat(flag, " is '", value, "'; must be one of ", absl::StrJoin(known, ", ")));
}

void AddFlag(std::vector<std::string>& flags, const char* name, const std::string& value) {
  if (!value.empty()) flags.push_back(absl::StrCat(name, "=", value));
}

void AddFlag(std::vector<std::string>& flags, const char* name, int64_t value) {
  if (value > 0) flags.push_back(absl::StrCat(name, "=", value));
}

}  // namespace

absl::Status CheckChildSettings(const ChildSettings& settings) {
  RETURN_IF_ERROR(OneOf("--compute-type", settings.compute_type, {"auto", "bf16", "fp32"}));
  RETURN_IF_ERROR(
      OneOf("--base-weights", settings.base_weights, {"auto", "dense", "stored", "nf4"}));
  RETURN_IF_ERROR(OneOf("--decode-weights", settings.decode_weights, {"dense", "int8", "int4"}));
  const std::pair<const char*, int64_t> numbers[] = {{"--kv-cache-mb", settings.kv_cache_mb},
                                                     {"--max-bases", settings.max_bases},
                                                     {"--max-queue", settings.max_queue},
                                                     {"--max-gang", settings.max_gang}};
  for (const auto& [flag, value] : numbers) {
    if (value >= 0) continue;
    return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                 absl::StrCat(flag, " is ", value, "; must be 1 or more, or 0 for its own choice"));
  }
  if (settings.max_gang <= kMostWorkers) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
               absl::StrCat("--max-gang is ", settings.max_gang, "; at most ", kMostWorkers,
                            " workers train together"));
}

std::vector<std::string> ModelServerFlags(const ChildSettings& settings) {
  std::vector<std::string> flags;
  AddFlag(flags, "--compute-type", settings.compute_type);
  AddFlag(flags, "--decode-weights", settings.decode_weights);
  AddFlag(flags, "--kv-cache-mb", settings.kv_cache_mb);
  AddFlag(flags, "--max-bases", settings.max_bases);
  AddFlag(flags, "--max-queue", settings.max_queue);
  return flags;
}

std::vector<std::string> TrainerFlags(const ChildSettings& settings,
                                      const std::string& gang_address) {
  std::vector<std::string> flags;
  AddFlag(flags, "--compute-type", settings.compute_type);
  AddFlag(flags, "--base-weights", settings.base_weights);
  AddFlag(flags, "--max-gang", settings.max_gang);
  // A worker that trains alone refuses an address where others would meet it.
  if (settings.max_gang > 1) AddFlag(flags, "--gang-address", gang_address);
  return flags;
}

}  // namespace crossover::platform
