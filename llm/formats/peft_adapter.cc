// adapter_model.safetensors. Names: peft/utils/save_and_load.py.
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/peft.h"

namespace crossover::llm {
namespace {

constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kSuffixA = ".lora_A.weight";
constexpr std::string_view kSuffixB = ".lora_B.weight";
constexpr std::string_view kSuffixMagnitude = ".lora_magnitude_vector";
// As PEFT before 0.12 wrote it.
constexpr std::string_view kOldSuffixMagnitude = ".lora_magnitude_vector.weight";

absl::Status InvalidAdapter(std::string_view path, std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat(ToAbsl(path), ": ", ToAbsl(message)));
}

// The module of a tensor's name and the field of LoraModule that the tensor is.
struct Place {
  std::string module;
  const SafetensorsTensor* LoraModule::* field = nullptr;
};

std::optional<Place> PlaceOf(const SafetensorsTensor& tensor, bool dora) {
  const std::string_view name = tensor.name;
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const auto ends = [&](std::string_view suffix, const SafetensorsTensor* LoraModule::* field,
                        size_t dimensions) -> std::optional<Place> {
    if (!name.ends_with(suffix) || name.size() <= kPrefix.size() + suffix.size() ||
        tensor.shape.size() != dimensions) {
      return std::nullopt;
    }
    const size_t length = name.size() - kPrefix.size() - suffix.size();
    return Place{std::string(name.substr(kPrefix.size(), length)), field};
  };
  std::optional<Place> place = ends(kSuffixA, &LoraModule::a, 2);
  if (!place.has_value()) place = ends(kSuffixB, &LoraModule::b, 2);
  for (const std::string_view suffix : {kSuffixMagnitude, kOldSuffixMagnitude}) {
    if (dora && !place.has_value()) place = ends(suffix, &LoraModule::magnitude, 1);
  }
  return place;
}

absl::StatusOr<std::map<std::string, LoraModule>> PairTensors(const SafetensorsFile& file,
                                                              const LoraConfig& config) {
  std::map<std::string, LoraModule> modules;
  for (const SafetensorsTensor& tensor : file.tensors()) {
    const std::optional<Place> place = PlaceOf(tensor, config.dora);
    if (!place.has_value()) {
      return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
                   absl::StrCat(file.path(), ": tensor '", tensor.name,
                                "' is not the A or B matrix of a linear layer's LoRA",
                                config.dora ? " nor DoRA's magnitudes of one" : ""));
    }
    LoraModule& entry = modules[place->module];
    entry.module = place->module;
    entry.*place->field = &tensor;
  }
  return modules;
}

absl::Status CheckPair(const LoraModule& entry, const LoraConfig& config, std::string_view path) {
  if (entry.a == nullptr || entry.b == nullptr) {
    return InvalidAdapter(
        path, absl::StrCat("module '", entry.module, "' has ",
                           entry.b != nullptr   ? "lora_B but no lora_A"
                           : entry.a != nullptr ? "lora_A but no lora_B"
                                                : "magnitudes but no lora_A and lora_B"));
  }
  const int64_t rank = config.RankOf(entry.module);
  if (entry.a->shape[0] != rank || entry.b->shape[1] != rank) {
    return InvalidAdapter(
        path,
        absl::StrCat("module '", entry.module, "' has rank ", entry.a->shape[0], " in lora_A and ",
                     entry.b->shape[1], " in lora_B, but adapter_config.json gives ", rank));
  }
  if (!config.dora) return absl::OkStatus();
  if (entry.magnitude == nullptr) {
    return InvalidAdapter(path,
                          absl::StrCat("module '", entry.module,
                                       "' has no lora_magnitude_vector, but adapter_config.json "
                                       "says use_dora"));
  }
  if (entry.magnitude->shape[0] != entry.out()) {
    return InvalidAdapter(
        path, absl::StrCat("module '", entry.module, "' has ", entry.magnitude->shape[0],
                           " magnitudes for ", entry.out(), " outputs"));
  }
  return absl::OkStatus();
}

// NotFound by SafetensorsFile::Open says no more than that the file is missing.
absl::Status CheckForPickle(const std::filesystem::path& folder) {
  std::error_code ignored;
  const std::filesystem::path pickle = folder / "adapter_model.bin";
  if (std::filesystem::exists(folder / kAdapterTensorsFile, ignored) ||
      !std::filesystem::exists(pickle, ignored))
    return absl::OkStatus();
  return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
               absl::StrCat(pickle.string(),
                            " is a pickle, which may run any program when it is read; convert it "
                            "to safetensors: PEFT's save_pretrained writes them"));
}

SafetensorsTensor Matrix(std::string name, int64_t rows, int64_t columns,
                         std::span<const float> values) {
  return {.name = std::move(name),
          .dtype = Dtype::kF32,
          .shape = {rows, columns},
          .data = std::as_bytes(values)};
}

}  // namespace

absl::StatusOr<PeftAdapter> ReadPeftAdapter(const std::filesystem::path& folder) {
  PeftAdapter adapter;
  const std::filesystem::path config_path = folder / kAdapterConfigFile;
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(config_path, size_t{16} << 20));
  ASSIGN_OR_RETURN(adapter.config, ParseLoraConfig(text, config_path.string()));
  RETURN_IF_ERROR(CheckForPickle(folder));
  ASSIGN_OR_RETURN(adapter.file, SafetensorsFile::Open(folder / kAdapterTensorsFile));
  ASSIGN_OR_RETURN(auto modules, PairTensors(*adapter.file, adapter.config));
  if (modules.empty()) return InvalidAdapter(adapter.file->path(), "holds no LoRA matrices");
  for (auto& [name, entry] : modules) {
    RETURN_IF_ERROR(CheckPair(entry, adapter.config, adapter.file->path()));
    entry.scale = adapter.config.ScaleOf(name);
    adapter.modules.push_back(std::move(entry));
  }
  return adapter;
}

absl::Status WritePeftAdapter(const std::filesystem::path& folder, const LoraConfig& config,
                              const std::vector<LoraWeights>& weights) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return Error(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
                 absl::StrCat(folder.string(), ": cannot be made: ", error.message()));
  }
  std::vector<SafetensorsTensor> tensors;
  for (const LoraWeights& layer : weights) {
    const std::string stem = absl::StrCat(ToAbsl(kPrefix), layer.module);
    tensors.push_back(Matrix(absl::StrCat(stem, ToAbsl(kSuffixA)), layer.rank, layer.in, layer.a));
    tensors.push_back(Matrix(absl::StrCat(stem, ToAbsl(kSuffixB)), layer.out, layer.rank, layer.b));
    if (layer.magnitude.empty()) continue;
    tensors.push_back({.name = absl::StrCat(stem, ToAbsl(kSuffixMagnitude)),
                       .dtype = Dtype::kF32,
                       .shape = {layer.out},
                       .data = std::as_bytes(layer.magnitude)});
  }
  RETURN_IF_ERROR(
      WriteSafetensors(folder / kAdapterTensorsFile, std::move(tensors), {{"format", "pt"}}));
  return WriteFileAtomically(folder / kAdapterConfigFile, LoraConfigJson(config));
}

}  // namespace crossover::llm
