#include "llm/train/checkpoint.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <nlohmann/json.hpp>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/safetensors.h"
#include "llm/lora/folder.h"

namespace crossover::llm {

namespace {

constexpr char kFormat[] = "crossover.checkpoint.v1";
constexpr char kStateFile[] = "state.json";
constexpr char kTensorsFile[] = "state.safetensors";

std::string HashOf(const TrainState& state) {
  XXH3_state_t* hash = XXH3_createState();
  XXH3_64bits_reset(hash);
  for (const std::vector<float>* values : {&state.adapter, &state.m, &state.v}) {
    XXH3_64bits_update(hash, values->data(), values->size() * sizeof(float));
  }
  const uint64_t digest = XXH3_64bits_digest(hash);
  XXH3_freeState(hash);
  return absl::StrFormat("xxh3:%016x", digest);
}

absl::Status Damaged(const std::filesystem::path& file, const std::string& what) {
  return Error(absl::StatusCode::kDataLoss, "CHECKPOINT_DAMAGED",
               absl::StrCat(file.string(), " ", what, "; use an earlier checkpoint"));
}

absl::Status ReadValues(const SafetensorsFile& file, const std::string& name,
                        std::vector<float>& values) {
  const SafetensorsTensor* tensor = file.FindTensor(name);
  if (tensor == nullptr) return Damaged(file.path(), absl::StrCat("has no tensor '", name, "'"));
  values.resize(tensor->values());
  return ToFloats(*tensor, values);
}

}  // namespace

absl::Status WriteCheckpoint(const std::filesystem::path& folder, const TrainState& state) {
  const auto tensor = [](std::string name, const std::vector<float>& values) {
    return SafetensorsTensor{.name = std::move(name),
                             .dtype = Dtype::kF32,
                             .shape = {static_cast<int64_t>(values.size())},
                             .data = std::as_bytes(std::span(values))};
  };
  const nlohmann::json json = {{"format", kFormat},
                               {"step", state.step},
                               {"tokens_seen", state.tokens_seen},
                               {"last_loss", state.last_loss},
                               {"fingerprint", state.fingerprint},
                               {"tensors", HashOf(state)}};
  const int64_t bytes = static_cast<int64_t>(state.adapter.size() * 3 * sizeof(float));
  return WriteFolder(folder, bytes, [&](const std::filesystem::path& temporary) -> absl::Status {
    RETURN_IF_ERROR(WriteSafetensors(
        temporary / kTensorsFile,
        {tensor("adapter", state.adapter), tensor("m", state.m), tensor("v", state.v)},
        {{"format", "pt"}}));
    return WriteFileAtomically(temporary / kStateFile, json.dump(2));
  });
}

absl::StatusOr<TrainState> ReadCheckpoint(const std::filesystem::path& folder) {
  const std::filesystem::path state_path = folder / kStateFile;
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(state_path));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || json.value("format", "") != kFormat) {
    return Damaged(state_path, absl::StrCat("is not a ", kFormat));
  }
  TrainState state;
  try {
    state.step = json.at("step").get<int64_t>();
    state.tokens_seen = json.at("tokens_seen").get<int64_t>();
    state.last_loss = json.at("last_loss").get<double>();
    state.fingerprint = json.at("fingerprint").get<std::string>();
    const std::string hash = json.at("tensors").get<std::string>();
    const absl::StatusOr<std::shared_ptr<const SafetensorsFile>> file =
        SafetensorsFile::Open(folder / kTensorsFile);
    if (!file.ok()) return Damaged(folder / kTensorsFile, std::string(file.status().message()));
    RETURN_IF_ERROR(ReadValues(**file, "adapter", state.adapter));
    RETURN_IF_ERROR(ReadValues(**file, "m", state.m));
    RETURN_IF_ERROR(ReadValues(**file, "v", state.v));
    if (HashOf(state) != hash)
      return Damaged(folder / kTensorsFile, "does not have the hash in state.json");
  } catch (const nlohmann::json::exception& e) {
    return Damaged(state_path, e.what());
  }
  return state;
}

}  // namespace crossover::llm
