// A model folder as transformers writes it: config.json beside one safetensors file or several with
// an index.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/formats/model_config.h"
#include "llm/formats/names.h"
#include "llm/formats/safetensors.h"

namespace crossover::llm {

// Immutable and thread-safe.
class HfFolder {
 public:
  // A tensor and the file it stands in. Both live as long as the folder.
  struct Place {
    const SafetensorsFile* file = nullptr;
    const SafetensorsTensor* tensor = nullptr;
  };

  // Errors of ModelConfig::FromHfJson, HfWeightFiles and SafetensorsFile::Open.
  static absl::StatusOr<std::shared_ptr<const HfFolder>> Open(const std::filesystem::path& path);

  const std::string& path() const { return path_; }
  const ModelConfig& config() const { return config_; }

  // InvalidArgument FORMAT_INVALID, naming the tensor, if it is missing.
  absl::StatusOr<Place> Find(const std::string& name) const;
  // A weight of the model: of the shape that config.json gives and a type that is read (F32, F16,
  // BF16), or bitsandbytes' NF4, whose shape its reader checks. InvalidArgument FORMAT_INVALID or
  // Unimplemented MODEL_UNSUPPORTED names file and tensor.
  absl::StatusOr<Place> Weight(const WeightSpec& spec) const;

 private:
  HfFolder() = default;

  std::string path_;
  ModelConfig config_;
  std::vector<std::shared_ptr<const SafetensorsFile>> files_;
  std::unordered_map<std::string_view, Place> places_;
};

}  // namespace crossover::llm
