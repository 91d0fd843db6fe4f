#include "llm/tokenizer/byte_level.h"

#include <array>
#include <unordered_map>

#include "llm/tokenizer/utf8.h"

namespace crossover::llm {
namespace {

struct Alphabet {
  std::array<std::string, 256> characters;
  std::unordered_map<std::string_view, uint8_t> bytes;

  Alphabet() {
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool itself = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
      AppendUtf8(itself ? static_cast<char32_t>(byte) : next++, characters[byte]);
    }
    for (int byte = 0; byte < 256; ++byte) bytes[characters[byte]] = static_cast<uint8_t>(byte);
  }
};

const Alphabet& TheAlphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

}  // namespace

std::string_view CharOfByte(uint8_t byte) { return TheAlphabet().characters[byte]; }

std::optional<std::string> BytesOfToken(std::string_view token) {
  const auto& bytes = TheAlphabet().bytes;
  std::string out;
  while (!token.empty()) {
    const Utf8Sequence next = NextUtf8(token);
    const auto found = bytes.find(token.substr(0, next.bytes));
    if (found == bytes.end()) return std::nullopt;
    out.push_back(static_cast<char>(found->second));
    token.remove_prefix(next.bytes);
  }
  return out;
}

}  // namespace crossover::llm
