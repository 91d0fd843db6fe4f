#include "common/id/random.h"

#include <openssl/rand.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace crossover {
namespace {

class OpenSslRandom final : public RandomSource {
 public:
  void Fill(std::span<uint8_t> bytes) override {
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
      std::fputs("the system's random source failed\n", stderr);
      std::abort();  // going on with predictable keys would be worse
    }
  }
};

}  // namespace

double RandomSource::Uniform() {
  uint64_t bits = 0;
  Fill({reinterpret_cast<uint8_t*>(&bits), sizeof(bits)});
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

std::string RandomSource::Hex(size_t count) {
  std::vector<uint8_t> bytes(count);
  Fill(bytes);
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * count);
  for (const uint8_t byte : bytes) {
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

RandomSource& SystemRandom() {
  static OpenSslRandom random;
  return random;
}

void FakeRandom::Fill(std::span<uint8_t> bytes) {
  std::lock_guard lock(mutex_);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(engine_() >> 32);
}

}  // namespace crossover
