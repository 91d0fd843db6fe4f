// Randomness as a dependency.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <random>
#include <span>
#include <string>

namespace crossover {

// Thread-safe.
class RandomSource {
 public:
  virtual ~RandomSource() = default;

  // Fills `bytes`.
  virtual void Fill(std::span<uint8_t> bytes) = 0;

  // A number in [0, 1).
  double Uniform();

  // `count` random bytes as 2 × count lower-case hex digits: tokens, salts, trace ids.
  std::string Hex(size_t count);
};

// The kernel's cryptographic source (through OpenSSL). Fit for keys and lease tokens. Lives for the
// whole process.
RandomSource& SystemRandom();

// Reproducible, for tests only: the same seed gives the same bytes.
class FakeRandom final : public RandomSource {
 public:
  explicit FakeRandom(uint64_t seed = 1) : engine_(seed) {}
  void Fill(std::span<uint8_t> bytes) override;

 private:
  std::mutex mutex_;
  std::mt19937_64 engine_;
};

}  // namespace crossover
