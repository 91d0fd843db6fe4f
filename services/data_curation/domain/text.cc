#include "services/data_curation/domain/text.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>

namespace crossover::curation {
namespace {

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::string LowerAscii(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return out;
}

bool IsWordChar(UChar32 c) {
  if (c < 0x80)
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_';
  return u_isalnum(c) || (U_GET_GC_MASK(c) & U_GC_M_MASK) != 0;
}

}  // namespace

std::string Normalise(std::string_view text) {
  if (IsAscii(text)) return LowerAscii(text);
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = icu::Normalizer2::getNFKCCasefoldInstance(error);
  std::string out;
  icu::StringByteSink<std::string> sink(&out, static_cast<int32_t>(text.size()));
  if (U_SUCCESS(error)) {
    normalizer->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())),
                              sink, nullptr, error);
  }
  // Without ICU's data there is no case folding beyond ASCII; similarity is then less sharp, never
  // wrong.
  return U_SUCCESS(error) ? out : LowerAscii(text);
}

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  const auto length = static_cast<int32_t>(text.size());
  int32_t at = 0;
  int32_t start = -1;
  while (at < length) {
    const int32_t here = at;
    UChar32 c = 0;
    U8_NEXT(bytes, at, length, c);
    const bool in_word = c >= 0 && IsWordChar(c);
    if (in_word && start < 0) start = here;
    if (!in_word && start >= 0) {
      words.push_back(text.substr(start, here - start));
      start = -1;
    }
  }
  if (start >= 0) words.push_back(text.substr(start));
  return words;
}

std::string JoinWords(const std::vector<std::string_view>& words) {
  std::string out;
  for (std::string_view word : words) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

}  // namespace crossover::curation
