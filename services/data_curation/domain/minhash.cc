#include "services/data_curation/domain/minhash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

namespace crossover::curation {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): parameters of the hash functions from a seed, the same
// everywhere.
uint64_t SplitMix(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

MinHasher::MinHasher(uint64_t seed) {
  for (int i = 0; i < kPermutations; ++i) {
    const uint64_t a = SplitMix(seed) | 1;
    a_low_[i] = static_cast<uint32_t>(a);
    a_high_[i] = static_cast<uint32_t>(a >> 32);
    b_[i] = SplitMix(seed);
  }
}

// One version per vector width, chosen when the program starts; sanitizers cannot instrument the
// chooser.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static void
Lower(const uint64_t* set, size_t size, const uint32_t* a_low, const uint32_t* a_high,
      const uint64_t* b, uint32_t* least) {
  for (size_t s = 0; s < size; ++s) {
    const uint64_t x = set[s] >> 32;
    for (int i = 0; i < kPermutations; ++i) {
      // a·x mod 2^64 from two 32-bit products: the vector units have no 64-bit one.
      const uint64_t product = a_low[i] * x + ((a_high[i] * x) << 32) + b[i];
      least[i] = std::min(least[i], static_cast<uint32_t>(product >> 32));
    }
  }
}

Signature MinHasher::Sign(const ShingleSet& set) const {
  Signature least;
  least.fill(UINT32_MAX);
  Lower(set.data(), set.size(), a_low_.data(), a_high_.data(), b_.data(), least.data());
  return least;
}

BandHashes Bands(const Signature& signature) {
  static_assert(kBands * kRowsPerBand <= kPermutations);
  BandHashes hashes;
  for (int band = 0; band < kBands; ++band) {
    hashes[band] = XXH3_64bits_withSeed(&signature[band * kRowsPerBand],
                                        kRowsPerBand * sizeof(uint32_t), band);
  }
  return hashes;
}

}  // namespace crossover::curation
