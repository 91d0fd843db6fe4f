// Writes a LoRA adapter as GGUF, for llama.cpp's --lora and Ollama's ADAPTER.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "llm/formats/model_config.h"
#include "llm/formats/peft.h"

namespace crossover::llm {

struct GgufAdapterOptions {
  // Extra string keys: lineage. Nothing that differs between equal exports.
  std::vector<std::pair<std::string, std::string>> lineage;
};

// `config` is the base model's. A and B are kept in F32, so nothing is rounded; B's rows of q and k
// are reordered as the base's are. The file has one alpha and loaders scale each pair by
// alpha / rank, so where the adapter wants another factor (rsLoRA, patterns) B carries it. Equal
// input gives equal bytes. InvalidArgument ADAPTER_MISMATCH for a module that the base does not
// have or whose shape differs; Unimplemented MODEL_UNSUPPORTED for DoRA, which loaders of such
// files do not compute; errors of GgufWriter and AtomicFile.
absl::Status ExportGgufAdapter(const ModelConfig& config, const PeftAdapter& adapter,
                               const GgufAdapterOptions& options,
                               const std::filesystem::path& path);

}  // namespace crossover::llm
