// What a base says beside its weights, as GGUF says it: what exports take over.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "llm/formats/gguf_file.h"

namespace crossover::llm {

// The metadata of a base model as GGUF has them. Those of a GGUF file are its own, with its
// tensors. For a Hugging Face folder they are made in memory, as llama.cpp's converter would write
// them: hyper-parameters from config.json, the tokenizer and chat template (ReadHfTokenizer), and
// rope_freqs as the only tensor, where the model has Llama 3's RoPE scaling. No name: equal folders
// give equal bytes wherever they stand.
//
// Errors of GgufFile::Open, ModelConfig::FromHfJson, AddModelConfig, ReadHfTokenizer and
// AddTokenizer.
absl::StatusOr<std::shared_ptr<const GgufFile>> OpenMetadata(const std::filesystem::path& base);

// Whether the base is a Hugging Face folder.
bool IsHfFolder(const std::filesystem::path& base);

// The files of a Hugging Face folder that say nothing of weights: copied as they are.
absl::Status CopyTokenizerFiles(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace crossover::llm
