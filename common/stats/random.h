// Seeded randomness that gives the same draws on every platform (the standard's distributions do
// not).
#pragma once

#include <cstdint>
#include <random>

namespace crossover::stats {

// Not thread-safe.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  // Uniform in [0,1), 53 bits.
  double Uniform() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }
  // Uniform in [0, bound), bound > 0. The bias of the multiply-shift is below 2^-32 for any bound
  // below 2^32.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(engine_()) * bound) >> 64);
  }
  bool Chance(double probability) { return Uniform() < probability; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace crossover::stats
