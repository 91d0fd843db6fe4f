// Builds GGUF bytes by hand, sound or broken on purpose. For tests of this room; GgufWriter writes
// real files.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace crossover::llm {

class GgufBytes {
 public:
  template <typename T>
  GgufBytes& Put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  GgufBytes& Raw(std::string_view text) {
    bytes_.append(text);
    return *this;
  }
  GgufBytes& String(std::string_view text) { return Put<uint64_t>(text.size()).Raw(text); }
  GgufBytes& Header(uint64_t tensors, uint64_t metadata, uint32_t version = 3) {
    return Raw("GGUF").Put(version).Put(tensors).Put(metadata);
  }
  GgufBytes& U32(std::string_view key, uint32_t value) {
    return String(key).Put<uint32_t>(4).Put(value);
  }
  GgufBytes& Tensor(std::string_view name, const std::vector<uint64_t>& ne, uint32_t type,
                    uint64_t offset) {
    String(name).Put<uint32_t>(ne.size());
    for (const uint64_t size : ne) Put(size);
    return Put(type).Put(offset);
  }
  GgufBytes& PadTo(size_t alignment) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment, '\0');
    return *this;
  }

  std::span<const std::byte> span() const {
    return std::as_bytes(std::span<const char>(bytes_.data(), bytes_.size()));
  }
  std::string& text() { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace crossover::llm
