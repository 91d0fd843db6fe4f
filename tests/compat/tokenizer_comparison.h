// Compares our ids with those of huggingface/tokenizers and llama.cpp.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::compat {

struct TokenizerComparison {
  int64_t lines = 0;
  int64_t tokens = 0;  // Ours.
  int64_t hf_differences = 0;
  double hf_seconds = 0;  // In its encode(), on one thread.
  // nullopt: not installed. Lines on which llama.cpp differs from Hugging Face by design
  // (normalisation, bytes without an entry) are left out; llama_cpp_lines are compared.
  std::optional<int64_t> llama_cpp_differences;
  int64_t llama_cpp_lines = 0;
  std::string examples;  // JSON of the first differing lines.
};

// `gguf` holds the vocabulary; the oracle builds Hugging Face's tokenizer from it as the model's
// tokenizer.json describes it.
absl::StatusOr<TokenizerComparison> CompareTokenizer(const llm::Tokenizer& tokenizer,
                                                     const std::filesystem::path& gguf,
                                                     const std::vector<std::string>& lines);

}  // namespace crossover::compat
