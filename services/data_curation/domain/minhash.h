// MinHash signatures (Broder 1997) and the banding that finds candidates (Leskovec, Rajaraman,
// Ullman, Mining of Massive Datasets, section 3.4).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "services/data_curation/domain/shingle.h"

namespace crossover::curation {

inline constexpr int kPermutations = 128;
using Signature = std::array<uint32_t, kPermutations>;

// 20 bands of 6: a pair at Jaccard .8 is a candidate with probability 1-(1-.8^6)^20 = .998; 16 x 8
// would give .947.
inline constexpr int kBands = 20;
inline constexpr int kRowsPerBand = 6;
using BandHashes = std::array<uint64_t, kBands>;

// Immutable and thread-safe. Equal seeds give equal signatures on every machine.
class MinHasher {
 public:
  explicit MinHasher(uint64_t seed = 1);

  // The least value of each of 128 hash functions over the set. The set must not be empty.
  // Hash i is multiply-shift (a·x+b mod 2^64) >> 32 with x the upper 32 bits of a shingle: strongly
  // universal (Dietzfelbinger 1996) and a handful of instructions per lane.
  Signature Sign(const ShingleSet& set) const;

 private:
  std::array<uint32_t, kPermutations> a_low_;
  std::array<uint32_t, kPermutations> a_high_;
  std::array<uint64_t, kPermutations> b_;
};

// One hash per band; the band's number is part of it.
BandHashes Bands(const Signature& signature);

}  // namespace crossover::curation
