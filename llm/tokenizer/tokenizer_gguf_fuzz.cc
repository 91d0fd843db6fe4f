// Any file must give a tokenizer or an error, and an accepted tokenizer must take any text.
#include "llm/tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crossover::llm;
  const auto file = GgufFile::Parse(std::as_bytes(std::span(data, size)), "fuzz");
  if (!file.ok()) return 0;
  const auto tokenizer = Tokenizer::FromGguf(**file);
  if (!tokenizer.ok()) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<int32_t> ids = (*tokenizer)->Encode(text);
  (void)(*tokenizer)->Decode(ids);
  StreamDecoder decoder(**tokenizer);
  for (const int32_t id : ids) (void)decoder.Push(id);
  (void)decoder.Flush();
  return 0;
}
