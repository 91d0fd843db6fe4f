// Any bytes must give a file or an error, and every access to an accepted file must stay inside it.
#include <vector>

#include "llm/formats/dequantize.h"
#include "llm/formats/gguf_file.h"
#include "llm/formats/model_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crossover::llm;
  const auto file = GgufFile::Parse(std::as_bytes(std::span(data, size)), "fuzz");
  if (!file.ok()) return 0;
  for (const GgufMetadata& entry : (*file)->metadata()) {
    (void)(*file)->GetUint(entry.key);
    (void)(*file)->GetFloat(entry.key);
    (void)(*file)->GetBool(entry.key);
    (void)(*file)->GetString(entry.key);
    (void)(*file)->GetStrings(entry.key);
    (void)(*file)->GetInts(entry.key);
  }
  for (const GgufTensor& tensor : (*file)->tensors()) {
    std::vector<float> values(tensor.values());
    if (!Dequantize(tensor.type, tensor.data, values).ok()) __builtin_trap();
  }
  (void)ModelConfig::FromGguf(**file);
  return 0;
}
