// Cuts text into the pieces that byte-pair merges may not cross.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::llm {

// Patterns as their models use them (sources: openai/gpt-2 encoder.py; tokenizer.json of Llama 3
// and Qwen2; llama.cpp llama-vocab.cpp for the default).
namespace patterns {
inline constexpr char kGpt2[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr char kEachDigit[] = R"(\p{N})";
inline constexpr char kDigitRuns[] = R"(\p{N}+)";
inline constexpr char kLlama3[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr char kQwen2[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}  // namespace patterns

// A chain of regular expressions. Each cuts every piece of the one before it: a match is a piece of
// its own, and so is what lies between two matches. Look-around does not see beyond its piece.
// Immutable and thread-safe.
class PreTokenizer {
 public:
  // Patterns are PCRE2 syntax with UTF and UCP, except that \s and \S mean Unicode's White_Space,
  // as in the engines that Hugging Face uses (PCRE2's \s also has U+180E). InvalidArgument
  // FORMAT_INVALID for a pattern that does not compile.
  static absl::StatusOr<PreTokenizer> Create(const std::vector<std::string>& patterns);

  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // Calls `piece` for each piece of `text`, which must be valid UTF-8, in order. A pattern that
  // exceeds the engine's match limit (a hostile tokenizer.json) is ResourceExhausted.
  absl::Status Split(std::string_view text,
                     const std::function<void(std::string_view)>& piece) const;

 private:
  class Pattern;
  explicit PreTokenizer(std::vector<Pattern> patterns);

  absl::Status SplitFrom(size_t step, std::string_view text,
                         const std::function<void(std::string_view)>& piece) const;

  std::vector<Pattern> patterns_;
};

// The pattern with \s and \S spelled out. For tests.
std::string SpellOutWhiteSpace(std::string_view pattern);

}  // namespace crossover::llm
