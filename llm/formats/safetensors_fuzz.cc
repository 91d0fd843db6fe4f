// Any bytes must give a file or an error, and tensors of an accepted file must lie inside it.
#include "llm/formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crossover::llm;
  const auto file = SafetensorsFile::Parse(std::as_bytes(std::span(data, size)), "fuzz");
  if (!file.ok()) return 0;
  for (const SafetensorsTensor& tensor : (*file)->tensors()) {
    volatile std::byte sum{0};
    for (const std::byte byte : tensor.data) sum = sum ^ byte;
    if ((*file)->FindTensor(tensor.name) == nullptr) __builtin_trap();
  }
  return 0;
}
