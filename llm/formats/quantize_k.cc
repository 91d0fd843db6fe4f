// Super-blocks of 256 values: sub-blocks share one half-precision scale for their own small-integer
// scales. Which scale and minimum a sub-block gets is searched for by weighted least squares, over
// the candidates of ggml's make_qkx2_quants and make_qx_quants; integers are then rounded again
// with the scales as they are stored.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "llm/formats/float_bits.h"
#include "llm/formats/quantize_blocks.h"

namespace crossover::llm {
namespace {

constexpr int kSuper = 256;

// Stores the half and gives back the number that it stands for.
float StoreHalf(uint8_t* out, float value) {
  const uint16_t half = FloatToHalf(value);
  std::memcpy(out, &half, sizeof(half));
  return HalfToFloat(half);
}

// x ≈ scale * q - min, q from 0 to `levels`.
struct ScaleAndMin {
  float scale = 0;
  float min = 0;  // Not negative.
};

// What differs between Q4_K and Q5_K: q's greatest value, and the candidate scales, which spread
// the range over levels + first, levels + first + 0.1, … integers.
struct AffineSearch {
  int levels;
  float first;
  int steps;
};

constexpr int kAffine = 32;  // Values of a sub-block.

float AffineError(const float* x, const float* weights, const float* q, float scale, float min) {
  float error = 0;
  for (int i = 0; i < kAffine; ++i) {
    const float difference = scale * q[i] + min - x[i];
    error += weights[i] * (difference * difference);
  }
  return error;
}

void RoundAffine(const float* x, float inverse, float min, int levels, float* q) {
  for (int i = 0; i < kAffine; ++i) {
    q[i] = static_cast<float>(std::clamp(NearestInt(inverse * (x[i] - min)), 0, levels));
  }
}

ScaleAndMin FitAffine(const float* x, const float* weights, const AffineSearch& search) {
  float min = x[0], max = x[0], sum_w = 0, sum_x = 0;
  for (int i = 0; i < kAffine; ++i) {
    min = std::min(min, x[i]);
    max = std::max(max, x[i]);
    sum_w += weights[i];
    sum_x += weights[i] * x[i];
  }
  min = std::min(min, 0.0f);
  if (max == min) return {0, -min};
  const float levels = static_cast<float>(search.levels);
  std::array<float, kAffine> q;
  RoundAffine(x, levels / (max - min), min, search.levels, q.data());
  float best_scale = 1 / (levels / (max - min));
  float best_error = AffineError(x, weights, q.data(), best_scale, min);
  // The next candidates spread the range from the best minimum so far.
  for (int step = 0; step <= search.steps; ++step) {
    const float inverse = (search.first + 0.1f * static_cast<float>(step) + levels) / (max - min);
    RoundAffine(x, inverse, min, search.levels, q.data());
    float sum_q = 0, sum_qq = 0, sum_xq = 0;
    for (int i = 0; i < kAffine; ++i) {
      sum_q += weights[i] * q[i];
      sum_qq += weights[i] * q[i] * q[i];
      sum_xq += weights[i] * q[i] * x[i];
    }
    const float determinant = sum_w * sum_qq - sum_q * sum_q;
    if (!(determinant > 0)) continue;
    float scale = (sum_w * sum_xq - sum_x * sum_q) / determinant;
    float offset = (sum_qq * sum_x - sum_q * sum_xq) / determinant;
    if (offset > 0) {
      offset = 0;
      scale = sum_xq / sum_qq;
    }
    const float error = AffineError(x, weights, q.data(), scale, offset);
    if (error < best_error) {
      best_error = error;
      best_scale = scale;
      min = offset;
    }
  }
  return {best_scale, -min};
}

// Greater values count more.
std::array<float, kAffine> AffineWeights(const float* x) {
  float squares = 0;
  for (int i = 0; i < kAffine; ++i) squares += x[i] * x[i];
  const float mean = std::sqrt(squares / kAffine);
  std::array<float, kAffine> weights;
  for (int i = 0; i < kAffine; ++i) weights[i] = mean + std::fabs(x[i]);
  return weights;
}

// The common part of Q4_K and Q5_K: writes d, dmin and the packed scales (16 bytes) and gives the
// 256 integers.
std::array<uint8_t, kSuper> QuantizeAffine(const float* x, const AffineSearch& search,
                                           uint8_t* out) {
  std::array<ScaleAndMin, 8> fits;
  float max_scale = 0, max_min = 0;
  for (int j = 0; j < 8; ++j) {
    const float* block = x + kAffine * j;
    fits[j] = FitAffine(block, AffineWeights(block).data(), search);
    max_scale = std::max(max_scale, fits[j].scale);
    max_min = std::max(max_min, fits[j].min);
  }
  const float inverse_scale = max_scale > 0 ? 63.0f / max_scale : 0.0f;
  const float inverse_min = max_min > 0 ? 63.0f / max_min : 0.0f;
  const float d = StoreHalf(out, max_scale / 63.0f);
  const float dmin = StoreHalf(out + 2, max_min / 63.0f);
  uint8_t* packed = out + 4;
  std::memset(packed, 0, 12);
  std::array<uint8_t, kSuper> q{};
  for (int j = 0; j < 8; ++j) {
    const int scale = std::clamp(NearestInt(inverse_scale * fits[j].scale), 0, 63);
    const int min = std::clamp(NearestInt(inverse_min * fits[j].min), 0, 63);
    if (j < 4) {
      packed[j] |= static_cast<uint8_t>(scale);
      packed[j + 4] |= static_cast<uint8_t>(min);
    } else {
      packed[j + 4] = static_cast<uint8_t>((scale & 15) | ((min & 15) << 4));
      packed[j - 4] |= static_cast<uint8_t>((scale >> 4) << 6);
      packed[j] |= static_cast<uint8_t>((min >> 4) << 6);
    }
    const float step = d * static_cast<float>(scale);
    const float offset = dmin * static_cast<float>(min);
    for (int i = 0; i < kAffine; ++i) {
      const float value = x[kAffine * j + i];
      // A sub-block without a scale is its minimum alone.
      q[kAffine * j + i] = step == 0 ? 0
                                     : static_cast<uint8_t>(std::clamp(
                                           NearestInt((value + offset) / step), 0, search.levels));
    }
  }
  return q;
}

constexpr int kSymmetric = 16;  // Values of a sub-block of Q6_K.
constexpr int kSixBits = 32;    // q is from -32 to 31.
constexpr float kNothing = 1e-15f;

// x ≈ scale * q; the scale that explains most of x, weighted by x^2.
float FitSymmetric(const float* x) {
  float largest = 0, extreme = 0;
  for (int i = 0; i < kSymmetric; ++i) {
    if (std::fabs(x[i]) <= largest) continue;
    largest = std::fabs(x[i]);
    extreme = x[i];
  }
  if (largest < kNothing) return 0;
  float scale = 0, best = 0;
  const auto consider = [&](int step, bool always) {
    const float inverse = -(kSixBits + 0.1f * static_cast<float>(step)) / extreme;
    float sum_xq = 0, sum_qq = 0;
    for (int i = 0; i < kSymmetric; ++i) {
      const float q =
          static_cast<float>(std::clamp(NearestInt(inverse * x[i]), -kSixBits, kSixBits - 1));
      const float weight = x[i] * x[i];
      sum_xq += weight * x[i] * q;
      sum_qq += weight * q * q;
    }
    if (sum_qq <= 0 || !(always || sum_xq * sum_xq > best * sum_qq)) return;
    scale = sum_xq / sum_qq;
    best = scale * sum_xq;
  };
  consider(0, true);
  for (int step = -9; step <= 9; ++step) {
    if (step != 0) consider(step, false);
  }
  return scale;
}

}  // namespace

void QuantizeQ4_K(const float* x, uint8_t* out) {
  const std::array<uint8_t, kSuper> q = QuantizeAffine(x, {15, -1.0f, 20}, out);
  uint8_t* qs = out + 16;
  for (int group = 0; group < 4; ++group) {
    for (int l = 0; l < 32; ++l) {
      qs[32 * group + l] = static_cast<uint8_t>(q[64 * group + l] | (q[64 * group + 32 + l] << 4));
    }
  }
}

void QuantizeQ5_K(const float* x, uint8_t* out) {
  const std::array<uint8_t, kSuper> q = QuantizeAffine(x, {31, -0.5f, 15}, out);
  uint8_t* qh = out + 16;
  uint8_t* qs = out + 48;
  std::memset(qh, 0, 32);
  for (int group = 0; group < 4; ++group) {
    for (int l = 0; l < 32; ++l) {
      const uint8_t low = q[64 * group + l], high = q[64 * group + 32 + l];
      qs[32 * group + l] = static_cast<uint8_t>((low & 15) | ((high & 15) << 4));
      qh[l] |= static_cast<uint8_t>(((low >> 4) << (2 * group)) | ((high >> 4) << (2 * group + 1)));
    }
  }
}

void QuantizeQ6_K(const float* x, uint8_t* out) {
  std::array<float, kSuper / kSymmetric> fits;
  float largest = 0, extreme = 0;
  for (size_t b = 0; b < fits.size(); ++b) {
    fits[b] = FitSymmetric(x + kSymmetric * b);
    if (std::fabs(fits[b]) <= largest) continue;
    largest = std::fabs(fits[b]);
    extreme = fits[b];
  }
  std::memset(out, 0, BlockSizeOf(TensorType::kQ6_K).bytes);
  if (largest < kNothing) return;
  const float inverse = -128.0f / extreme;
  const float d = StoreHalf(out + 208, 1 / inverse);
  std::array<int, kSuper> q{};
  for (size_t b = 0; b < fits.size(); ++b) {
    const int scale = std::clamp(NearestInt(inverse * fits[b]), -128, 127);
    out[192 + b] = static_cast<uint8_t>(static_cast<int8_t>(scale));
    const float step = d * static_cast<float>(scale);
    for (int i = 0; i < kSymmetric; ++i) {
      const size_t at = kSymmetric * b + i;
      q[at] = kSixBits +
              (step == 0 ? 0 : std::clamp(NearestInt(x[at] / step), -kSixBits, kSixBits - 1));
    }
  }
  for (int half = 0; half < 2; ++half) {
    uint8_t* ql = out + 64 * half;
    uint8_t* qh = out + 128 + 32 * half;
    const int* from = q.data() + 128 * half;
    for (int l = 0; l < 32; ++l) {
      const int q1 = from[l], q2 = from[l + 32], q3 = from[l + 64], q4 = from[l + 96];
      ql[l] = static_cast<uint8_t>((q1 & 15) | ((q3 & 15) << 4));
      ql[l + 32] = static_cast<uint8_t>((q2 & 15) | ((q4 & 15) << 4));
      qh[l] =
          static_cast<uint8_t>((q1 >> 4) | ((q2 >> 4) << 2) | ((q3 >> 4) << 4) | ((q4 >> 4) << 6));
    }
  }
}

}  // namespace crossover::llm
