#include "llm/tokenizer/gguf_vocabulary.h"

#include "llm/tokenizer/pretokenizer.h"

namespace crossover::llm {

const std::vector<NamedPreTokenizer>& NamedPreTokenizers() {
  static const std::vector<NamedPreTokenizer> all = {
      {.name = "smollm", .patterns = {patterns::kEachDigit, patterns::kGpt2}},
      {.name = "gpt-2", .patterns = {patterns::kGpt2}},
      {.name = "llama-bpe",
       .patterns = {patterns::kLlama3},
       .ignore_merges = true,
       .adds_bos = true},
      {.name = "qwen2", .patterns = {patterns::kQwen2}, .nfc = true},
      // llama.cpp's own, for files from before the key existed.
      {.name = "default",
       .patterns =
           {
               R"([\p{P}\$\+<=>\^~\|]+)",
               R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))",
               R"(\p{N}+)",
               R"([0-9][0-9][0-9])",
           }},
  };
  return all;
}

}  // namespace crossover::llm
