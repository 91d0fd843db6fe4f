// Characters of UTF-8 text, as Python's str methods see them. Private to the interpreter.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "llm/chat/jinja_text.h"

namespace crossover::llm::jinja {

// Where each character begins, and the end of the text.
std::vector<size_t> CharacterStarts(std::string_view text);

enum class Case { kUpper, kLower, kTitle, kCapitalized };
// str.upper(), lower(), title(), capitalize(), character by character.
Text InCase(const Text& text, Case to);

enum class Sides { kBoth, kLeft, kRight };
// str.strip() and its siblings; `characters` "" means white space.
Text Stripped(const Text& text, std::string_view characters, Sides sides);

// str.isdigit() and so on, for text that is not empty.
bool AllOf(std::string_view text, bool (*is)(char32_t character));
bool IsDigit(char32_t character);
bool IsAlpha(char32_t character);
bool IsAlphanumeric(char32_t character);
bool IsSpace(char32_t character);
bool HasCase(std::string_view text, Case which);

}  // namespace crossover::llm::jinja
