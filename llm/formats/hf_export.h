// Writes a model with merged weights as Hugging Face's files: config.json and safetensors, in one
// file or several with an index.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/formats/gguf_export.h"
#include "llm/formats/model_config.h"

namespace crossover::llm {

struct SafetensorsExportOptions {
  // A file is begun anew before it would become larger; a single tensor may be.
  uint64_t shard_bytes = 5'000'000'000;
  // String entries of every file's "__metadata__", beside format "pt": lineage.
  std::map<std::string, std::string> metadata;
};

// Writes all weights in BF16, rounded to nearest even, into the existing folder: model.safetensors,
// or model-00001-of-0000N.safetensors, … and model.safetensors.index.json. Each file appears whole
// or not at all. Needs memory for one matrix. Equal input gives equal bytes. Errors of `read` and
// AtomicFile.
absl::Status ExportSafetensors(const ModelConfig& config, const WeightReader& read,
                               const SafetensorsExportOptions& options,
                               const std::filesystem::path& folder);

// Token ids that config.json and generation_config.json name.
struct HfTokenIds {
  std::optional<int32_t> bos;
  std::vector<int32_t> ends;  // The first is the end token; generation stops at any.
};

// config.json as both Transformers 4 and 5 read it. Unimplemented MODEL_UNSUPPORTED if the RoPE
// divisors are neither one factor nor Llama 3's, which that file cannot say.
absl::StatusOr<std::string> HfConfigJson(const ModelConfig& config, const HfTokenIds& tokens);

// generation_config.json: where generation begins and stops.
std::string HfGenerationConfigJson(const HfTokenIds& tokens);

// The base's own config.json or generation_config.json for its merged weights: with these tokens,
// BF16 where it names a type, and no quantisation. InvalidArgument FORMAT_INVALID, naming `path`,
// if it is no JSON object.
absl::StatusOr<std::string> MergedHfJson(std::string_view json, const std::string& path,
                                         const HfTokenIds& tokens);

}  // namespace crossover::llm
