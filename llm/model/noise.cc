#include "llm/model/noise.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "llm/model/kernels.h"
#include "llm/model/parallel.h"
#include "llm/model/random.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {

namespace {

// Rows that are worth a thread of their own.
constexpr int64_t kNoiseGrain = 16;

// Streams of a run: initial weights have numbers under 2^32, row orders follow (schedule.cc).
constexpr uint64_t kDropoutStream = uint64_t{2} << 32;
constexpr uint64_t kEmbeddingStream = uint64_t{3} << 32;

std::vector<uint64_t> KeysOf(uint64_t seed, uint64_t stream, int64_t first, int64_t count) {
  std::vector<uint64_t> keys(count);
  for (int64_t i = 0; i < count; ++i)
    keys[i] = RandomBits(seed, stream, static_cast<uint64_t>(first + i));
  return keys;
}

template <typename T, typename Kernel>
void Apply(Kernel kernel, const at::Tensor& x, const Dropout& dropout, at::Tensor& y) {
  const int64_t dim = x.size(1);
  const auto threshold =
      static_cast<uint32_t>(std::min<int64_t>(std::llround(dropout.share * 0x1p32), UINT32_MAX));
  const auto scale = static_cast<float>(1 / (1 - dropout.share));
  ParallelRanges(x.size(0), kNoiseGrain, [&](int64_t begin, int64_t end) {
    const std::vector<uint64_t> keys =
        KeysOf(dropout.seed, dropout.stream, dropout.first_token + begin, end - begin);
    kernel(Data<T>(x) + begin * dim, keys.data(), threshold, scale, end - begin, dim,
           Data<T>(y) + begin * dim);
  });
}

// Tokens of the longest row through each segment.
std::vector<int64_t> RowLengths(const Pack& pack) {
  std::vector<int64_t> lengths(pack.segments.size());
  for (size_t i = pack.segments.size(); i-- > 0;) {  // Parents come first, so children here.
    const Segment& segment = pack.segments[i];
    lengths[i] = std::max(lengths[i], segment.context + segment.size());
    if (segment.parent >= 0)
      lengths[segment.parent] = std::max(lengths[segment.parent], lengths[i]);
  }
  return lengths;
}

}  // namespace

Dropout StepNoise::DropoutOf(int64_t layer, Input input) const {
  const uint64_t place = static_cast<uint64_t>(layer) * 4 + static_cast<uint64_t>(input);
  return {dropout, RandomBits(seed, kDropoutStream, step), place, first_token};
}

void DropoutRows(const at::Tensor& x, const Dropout& dropout, at::Tensor& y) {
  if (x.scalar_type() == at::kFloat) {
    Apply<float>(Kernels().f32.dropout, x, dropout, y);
  } else {
    Apply<Bf16Bits>(Kernels().bf16.dropout, x, dropout, y);
  }
}

void AddDropoutRows(const at::Tensor& x, const Dropout& dropout, at::Tensor& y) {
  if (x.scalar_type() == at::kFloat) {
    Apply<float>(Kernels().f32.add_dropout, x, dropout, y);
  } else {
    Apply<Bf16Bits>(Kernels().bf16.add_dropout, x, dropout, y);
  }
}

void AddEmbeddingNoise(const Pack& pack, const StepNoise& noise, at::Tensor& embeddings) {
  const int64_t dim = embeddings.size(1);
  const uint64_t seed = RandomBits(noise.seed, kEmbeddingStream, noise.step);
  const std::vector<int64_t> lengths = RowLengths(pack);
  std::vector<float> amplitudes(pack.tokens());
  for (size_t i = 0; i < pack.segments.size(); ++i) {
    const double amplitude =
        noise.neftune / std::sqrt(static_cast<double>(lengths[i]) * static_cast<double>(dim));
    std::fill(amplitudes.begin() + pack.segments[i].begin,
              amplitudes.begin() + pack.segments[i].end, static_cast<float>(amplitude));
  }
  ParallelRanges(pack.tokens(), kNoiseGrain, [&](int64_t begin, int64_t end) {
    const std::vector<uint64_t> keys = KeysOf(seed, 0, noise.first_token + begin, end - begin);
    if (embeddings.scalar_type() == at::kFloat) {
      Kernels().f32.add_noise(Data<float>(embeddings) + begin * dim, keys.data(),
                              amplitudes.data() + begin, end - begin, dim);
    } else {
      Kernels().bf16.add_noise(Data<Bf16Bits>(embeddings) + begin * dim, keys.data(),
                               amplitudes.data() + begin, end - begin, dim);
    }
  });
}

}  // namespace crossover::llm
