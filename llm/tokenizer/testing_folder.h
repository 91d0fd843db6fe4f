// Small whole models as Hugging Face folders. For tests.
#pragma once

#include <cmath>
#include <filesystem>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/hf_export.h"
#include "llm/formats/hf_listing.h"
#include "llm/formats/testing_model.h"
#include "llm/tokenizer/byte_level.h"
#include "llm/tokenizer/gguf_vocabulary.h"
#include "llm/tokenizer/hf_files.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {

inline constexpr char kSmallTemplate[] =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// 256 bytes, ChatML's markers and "ab", which is merged.
inline Tokenizer::Parts SmallTokenizer() {
  Tokenizer::Parts parts;
  for (int byte = 0; byte < 256; ++byte)
    parts.tokens.emplace_back(CharOfByte(static_cast<uint8_t>(byte)));
  for (const char* name : {"<|im_start|>", "<|im_end|>"}) {
    parts.added.push_back(
        {.text = name, .id = static_cast<int32_t>(parts.tokens.size()), .special = true});
    parts.tokens.emplace_back(name);
  }
  parts.tokens.emplace_back("ab");
  parts.merges = {{"a", "b"}};
  for (const NamedPreTokenizer& named : NamedPreTokenizers()) {
    if (named.name == "smollm") parts.patterns = named.patterns;
  }
  parts.eos_id = 257;
  return parts;
}

// SmallModel with room for SmallTokenizer.
inline ModelConfig SmallFolderModel(Architecture architecture = Architecture::kLlama) {
  ModelConfig config = SmallModel(architecture);
  config.vocab_size = 259;
  return config;
}

// Writes config.json, BF16 weights in [-1, 1], each its own, in files of about `shard_bytes`,
// tokenizer.json and tokenizer_config.json into `folder`, which is made. "" writes no template.
inline absl::Status WriteSmallFolder(const std::filesystem::path& folder, const ModelConfig& config,
                                     uint64_t shard_bytes = 5'000'000'000,
                                     const std::string& chat_template = kSmallTemplate) {
  std::filesystem::create_directories(folder);
  double phase = 0;
  const auto read = [&](const WeightSpec&, std::span<float> values) {
    for (float& value : values) value = static_cast<float>(std::sin(phase += 0.7));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ExportSafetensors(config, read, {.shard_bytes = shard_bytes}, folder));
  ASSIGN_OR_RETURN(const std::string json, HfConfigJson(config, {.bos = {}, .ends = {257}}));
  RETURN_IF_ERROR(WriteFileAtomically(folder / kHfConfigFile, json));
  const Tokenizer::Parts parts = SmallTokenizer();
  RETURN_IF_ERROR(WriteFileAtomically(folder / kHfTokenizerFile, TokenizerJson(parts)));
  return WriteFileAtomically(folder / "tokenizer_config.json",
                             TokenizerConfigJson(parts, chat_template, config.context_length));
}

}  // namespace crossover::llm
