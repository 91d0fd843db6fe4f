// What reader and writer of GGUF's vocabularies have to agree on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace crossover::llm {

// llama.cpp's llama_token_type.
struct GgufTokenType {
  static constexpr int32_t kNormal = 1;
  static constexpr int32_t kUnknown = 2;
  static constexpr int32_t kControl = 3;
  static constexpr int32_t kUserDefined = 4;
  static constexpr int32_t kUnused = 5;
  static constexpr int32_t kByte = 6;
};

// What a name in tokenizer.ggml.pre means (llama.cpp, llama-vocab.cpp).
struct NamedPreTokenizer {
  std::string_view name;
  std::vector<std::string> patterns;
  bool nfc = false;  // As tokenizer.json has it; llama.cpp leaves it out.
  bool ignore_merges = false;
  bool adds_bos = false;  // Unless the file has a key for it.
};

const std::vector<NamedPreTokenizer>& NamedPreTokenizers();

}  // namespace crossover::llm
