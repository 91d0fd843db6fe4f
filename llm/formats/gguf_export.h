// Writes a model with merged weights as one GGUF file that llama.cpp and Ollama load.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "llm/formats/file_type.h"
#include "llm/formats/gguf_file.h"
#include "llm/formats/names.h"

namespace crossover::llm {

// Fills `out` with the weight's merged values in fp32, row-major, in Hugging Face's row order (the
// export reorders q and k). Called once for each of WeightsOf(config), one at a time.
using WeightReader = std::function<absl::Status(const WeightSpec& weight, std::span<float> out)>;

struct GgufExportOptions {
  // The type of each tensor follows from this (StoredTypeOf).
  GgufFileType type = GgufFileType::kF16;
  // Lineage as extra string keys, for example {"crossover.adapter", "sha256:…"}; they replace those
  // of a base that is an export itself. Nothing that differs between equal exports.
  std::vector<std::pair<std::string, std::string>> lineage;
};

// Copies hyper-parameters, tokenizer, chat template and rope_freqs from `base`, sets
// general.file_type and general.quantization_version, and takes all weights of a model of this
// `config` from `read`: in the order of `base`, and those that it does not list (it may be metadata
// alone) in that of WeightsOf(config). Equal input gives equal bytes. Needs memory for one matrix,
// twice; quantises on all processors. Errors of `read`, GgufWriter and AtomicFile; InvalidArgument
// NOT_FINITE names a tensor that cannot be quantised.
absl::Status ExportGguf(const GgufFile& base, const ModelConfig& config, const WeightReader& read,
                        const GgufExportOptions& options, const std::filesystem::path& path);

}  // namespace crossover::llm
