// Random numbers by position: no state to save, the same on every machine and for any number of
// threads.
#pragma once

#include <cstdint>

namespace crossover::llm {

// SplitMix64's finaliser (Steele, Lea & Flood, OOPSLA 2014) over (seed, stream, index).
inline uint64_t RandomBits(uint64_t seed, uint64_t stream, uint64_t index) {
  const auto mix = [](uint64_t x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
  };
  return mix(mix(mix(seed) ^ stream) ^ index);
}

// Uniform in [0, 1) with 53 random bits.
inline double RandomUniform(uint64_t seed, uint64_t stream, uint64_t index) {
  return static_cast<double>(RandomBits(seed, stream, index) >> 11) * 0x1p-53;
}

}  // namespace crossover::llm
