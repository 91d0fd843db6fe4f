// What a model's description may ask for, whichever format it comes from. No model comes near
// these; they keep products of hostile sizes inside 64 bits. Private to this room.
#pragma once

#include <cstdint>

namespace crossover::llm {

inline constexpr int64_t kMaxWidth = int64_t{1} << 24;  // Hidden, intermediate, vocabulary, window.
inline constexpr int64_t kMaxLayers = 4096;
inline constexpr int64_t kMaxHeads = 65536;
inline constexpr int64_t kMaxHeadDim = 65536;
inline constexpr int64_t kMaxContext = int64_t{1} << 32;

}  // namespace crossover::llm
