// Byte-complete vocabularies lose nothing: any UTF-8 text comes back from its ids, whatever the
// pre-tokenizer.
#include "llm/tokenizer/byte_level.h"
#include "llm/tokenizer/pretokenizer.h"
#include "llm/tokenizer/tokenizer.h"
#include "llm/tokenizer/utf8.h"

namespace {

using namespace crossover::llm;

std::shared_ptr<const Tokenizer> Make(std::vector<std::string> patterns) {
  Tokenizer::Parts parts;
  for (int byte = 0; byte < 256; ++byte)
    parts.tokens.emplace_back(CharOfByte(static_cast<uint8_t>(byte)));
  for (const char* pair : {"ab", "aa", "bb", "  ", "01"}) {
    parts.merges.emplace_back(CharOfByte(static_cast<uint8_t>(pair[0])),
                              CharOfByte(static_cast<uint8_t>(pair[1])));
    parts.tokens.push_back(parts.merges.back().first + parts.merges.back().second);
  }
  parts.patterns = std::move(patterns);
  return Tokenizer::Create(std::move(parts)).value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::shared_ptr<const Tokenizer>> tokenizers = {
      Make({patterns::kEachDigit, patterns::kGpt2}), Make({patterns::kLlama3}),
      Make({patterns::kQwen2})};
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& tokenizer : tokenizers) {
    if (tokenizer->Decode(tokenizer->Encode(text)) != ToValidUtf8(text)) __builtin_trap();
  }
  return 0;
}
