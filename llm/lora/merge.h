// Merges an adapter into its base model: W' = W + scale B A, with DoRA each row scaled to its
// magnitude, written as one GGUF file for llama.cpp and Ollama. No torch.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "llm/formats/gguf_export.h"
#include "llm/lora/adapter.h"

namespace crossover::llm {

// `base_gguf` is the file the adapter was trained on. The product is computed in fp32 on the
// dequantised weights, then rounded once to options.type. Errors of GgufFile, ModelConfig and
// ExportGguf; InvalidArgument("ADAPTER_MISMATCH").
absl::Status MergeToGguf(const std::filesystem::path& base_gguf,
                         const std::filesystem::path& adapter_folder,
                         const GgufExportOptions& options, const std::filesystem::path& out);

}  // namespace crossover::llm
