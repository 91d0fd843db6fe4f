#include "llm/chat/jinja_characters.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <set>

#include "llm/tokenizer/utf8.h"

namespace crossover::llm::jinja {
namespace {

char32_t CharacterAt(std::string_view text, size_t begin, size_t end) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const size_t bytes = end - begin;
  if (bytes == 1) return byte(begin);
  char32_t code = byte(begin) & (0xffu >> (bytes + 1));
  for (size_t i = begin + 1; i < end; ++i) code = code << 6 | (byte(i) & 0x3f);
  return code;
}

std::vector<char32_t> Characters(std::string_view text) {
  const std::vector<size_t> starts = CharacterStarts(text);
  std::vector<char32_t> out;
  for (size_t i = 0; i + 1 < starts.size(); ++i)
    out.push_back(CharacterAt(text, starts[i], starts[i + 1]));
  return out;
}

bool IsCased(char32_t c) { return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_CASED) != 0; }

// One character may become several: U+00DF is "SS".
std::string Mapped(char32_t c, Case to) {
  if (c < 0x80) {
    const bool lower = to == Case::kLower;
    if (lower && c >= 'A' && c <= 'Z') c += 32;
    if (!lower && c >= 'a' && c <= 'z') c -= 32;
    return std::string(1, static_cast<char>(c));
  }
  icu::UnicodeString text(static_cast<UChar32>(c));
  if (to == Case::kLower) {
    text.toLower(icu::Locale::getRoot());
  } else if (to == Case::kUpper) {
    text.toUpper(icu::Locale::getRoot());
  } else {
    text = icu::UnicodeString(u_totitle(static_cast<UChar32>(c)));
  }
  std::string out;
  return text.toUTF8String(out);
}

}  // namespace

std::vector<size_t> CharacterStarts(std::string_view text) {
  std::vector<size_t> starts;
  for (size_t at = 0; at < text.size(); at += NextUtf8(text.substr(at)).bytes) starts.push_back(at);
  starts.push_back(text.size());
  return starts;
}

Text InCase(const Text& text, Case to) {
  bool in_word = false, first = true;
  return text.Mapped([&](std::string_view run) {
    std::string out;
    for (const char32_t c : Characters(run)) {
      const bool begins = to == Case::kTitle ? !in_word : first;
      const bool mixed = to == Case::kTitle || to == Case::kCapitalized;
      out += Mapped(c, !mixed ? to : begins ? Case::kTitle : Case::kLower);
      in_word = IsCased(c);
      first = false;
    }
    return out;
  });
}

Text Stripped(const Text& text, std::string_view characters, Sides sides) {
  const std::vector<char32_t> given = Characters(characters);
  const std::set<char32_t> wanted(given.begin(), given.end());
  const auto goes = [&](char32_t c) { return given.empty() ? IsSpace(c) : wanted.contains(c); };
  const std::string_view view = text.view();
  const std::vector<size_t> starts = CharacterStarts(view);
  size_t begin = 0, end = starts.size() - 1;
  if (sides != Sides::kRight) {
    while (begin < end && goes(CharacterAt(view, starts[begin], starts[begin + 1]))) ++begin;
  }
  if (sides != Sides::kLeft) {
    while (end > begin && goes(CharacterAt(view, starts[end - 1], starts[end]))) --end;
  }
  return text.Cut(starts[begin], starts[end]);
}

bool AllOf(std::string_view text, bool (*is)(char32_t character)) {
  const std::vector<char32_t> characters = Characters(text);
  return !characters.empty() && std::all_of(characters.begin(), characters.end(), is);
}

bool IsDigit(char32_t c) {
  const auto kind =
      static_cast<UNumericType>(u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE));
  return kind == U_NT_DECIMAL || kind == U_NT_DIGIT;
}

bool IsAlpha(char32_t c) { return u_isalpha(static_cast<UChar32>(c)) != 0; }

bool IsAlphanumeric(char32_t c) {
  return IsAlpha(c) ||
         u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE) != U_NT_NONE;
}

// Python's str.isspace(): Unicode's White_Space, and the four separators U+001C to U+001F.
bool IsSpace(char32_t c) {
  return (c >= 0x1c && c <= 0x1f) || u_isUWhiteSpace(static_cast<UChar32>(c)) != 0;
}

bool HasCase(std::string_view text, Case which) {
  bool cased = false;
  for (const char32_t c : Characters(text)) {
    const UChar32 code = static_cast<UChar32>(c);
    if (which == Case::kUpper ? u_islower(code) != 0 : u_isupper(code) != 0) return false;
    cased = cased || IsCased(c);
  }
  return cased;
}

}  // namespace crossover::llm::jinja
