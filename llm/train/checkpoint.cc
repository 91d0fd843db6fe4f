#include "llm/train/checkpoint.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <nlohmann/json.hpp>
#include <span>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/absl_view.h"
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
constexpr size_t kMaxStateBytes = size_t{1} << 20;

// Of everything in `state`, so that a changed digit in state.json is found out, too.
std::string HashOf(const TrainState& state) {
  std::string text = absl::StrFormat("%d %d %.17g %s", state.step, state.tokens_seen,
                                     state.last_loss, state.fingerprint);
  if (!state.compute_type.empty()) absl::StrAppend(&text, " ", state.compute_type);
  XXH3_state_t* hash = XXH3_createState();
  XXH3_64bits_reset(hash);
  XXH3_64bits_update(hash, text.data(), text.size());
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

// A file that is missing, too short or of another format is damage; one that the system does not
// let us read may be sound.
absl::Status AsDamage(const std::filesystem::path& file, const absl::Status& status) {
  if (HasReason(status, "FILE_UNREADABLE")) return status;
  return Damaged(file, absl::StrCat("cannot be used (", status.message(), ")"));
}

absl::StatusOr<std::vector<float>> ReadValues(const SafetensorsFile& file,
                                              const std::string& name) {
  const SafetensorsTensor* tensor = file.FindTensor(name);
  if (tensor == nullptr) return Damaged(file.path(), absl::StrCat("has no tensor '", name, "'"));
  if (tensor->dtype != Dtype::kF32) {
    return Damaged(file.path(), absl::StrCat("holds '", name, "' as ",
                                             ToAbsl(NameOf(tensor->dtype)), " where F32 belongs"));
  }
  std::vector<float> values(tensor->values());
  RETURN_IF_ERROR(ToFloats(*tensor, values));
  return values;
}

// Throws nlohmann::json::exception where a member is absent or has another type. get_ref, unlike
// get, takes no floating-point number for an integer.
TrainState StateOf(const nlohmann::json& json) {
  return {.step = json.at("step").get_ref<const int64_t&>(),
          .tokens_seen = json.at("tokens_seen").get_ref<const int64_t&>(),
          .last_loss = json.at("last_loss").get<double>(),
          .fingerprint = json.at("fingerprint").get<std::string>(),
          .compute_type = json.value("compute_type", "")};
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
                               {"compute_type", state.compute_type},
                               {"hash", HashOf(state)}};
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
  const std::filesystem::path tensors_path = folder / kTensorsFile;
  std::error_code unreadable;
  if (!std::filesystem::exists(folder, unreadable) && !unreadable) {
    return Error(absl::StatusCode::kNotFound, "FILE_MISSING",
                 absl::StrCat(folder.string(), ": no such checkpoint folder"));
  }
  const absl::StatusOr<std::string> text = ReadTextFile(state_path, kMaxStateBytes);
  if (!text.ok()) return AsDamage(state_path, text.status());
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  TrainState state;
  std::string hash;
  try {
    if (!json.is_object() || json.at("format") != kFormat) {
      return Damaged(state_path, absl::StrCat("is not a ", kFormat));
    }
    state = StateOf(json);
    hash = json.at("hash").get<std::string>();
  } catch (const nlohmann::json::exception& e) {
    return Damaged(state_path, e.what());
  }
  const absl::StatusOr<std::shared_ptr<const SafetensorsFile>> file =
      SafetensorsFile::Open(tensors_path);
  if (!file.ok()) return AsDamage(tensors_path, file.status());
  ASSIGN_OR_RETURN(state.adapter, ReadValues(**file, "adapter"));
  ASSIGN_OR_RETURN(state.m, ReadValues(**file, "m"));
  ASSIGN_OR_RETURN(state.v, ReadValues(**file, "v"));
  if (state.m.size() != state.adapter.size() || state.v.size() != state.adapter.size()) {
    return Damaged(tensors_path, "holds adapter, m and v of different sizes");
  }
  if (state.step < 0 || state.tokens_seen < 0) return Damaged(state_path, "has a negative step");
  if (HashOf(state) != hash) return Damaged(folder, "does not have the hash in its state.json");
  return state;
}

}  // namespace crossover::llm
