// UTF-8 sequences: whole, cut off, or wrong.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace crossover::llm {

enum class Utf8Kind {
  kValid,       // A whole character.
  kIncomplete,  // The beginning of one, cut off by the end of the text.
  kInvalid,     // Bytes that begin no character: one replacement character stands for them.
};

struct Utf8Sequence {
  Utf8Kind kind;
  size_t bytes;  // At least 1.
};

// The sequence at the start of `text`, which must not be empty. Wrong bytes are grouped as "maximal
// subparts" (Unicode 15, 3.9, U+FFFD substitution), as Rust's from_utf8_lossy and Python's
// errors="replace" do.
Utf8Sequence NextUtf8(std::string_view text);

bool IsValidUtf8(std::string_view text);

// The text with U+FFFD for every wrong or cut-off sequence.
std::string ToValidUtf8(std::string_view text);

// Appends to `out` all of `pending` but an incomplete sequence at its end, which stays in
// `pending`.
void TakeWholeCharacters(std::string& pending, std::string& out);

// Appends the character as UTF-8.
void AppendUtf8(char32_t character, std::string& out);

}  // namespace crossover::llm
