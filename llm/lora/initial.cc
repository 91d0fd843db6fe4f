#include "llm/lora/initial.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>

#include "llm/lora/adapter.h"
#include "llm/lora/operands.h"
#include "llm/model/random.h"
#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

constexpr int kRounds = 16;
constexpr int64_t kOversampling = 8;

// Streams of PiSSA's test matrices, far from those of InitialValues, row orders and noise.
constexpr uint64_t kTestMatrices = uint64_t{4} << 32;

// The layer's own rows of its group's stack, fp32 [out, in].
at::Tensor RowsOf(const BaseModel& base, const LoraMatrix& matrix) {
  const FrozenLinear& linear = Part(base.weights().blocks[matrix.layer], GroupOf(matrix.target));
  return linear.Dense().narrow(0, matrix.out_offset, matrix.out).to(at::kFloat);
}

// Normal numbers [rows, columns] by Box and Muller, each a function of its position.
at::Tensor TestMatrix(uint64_t seed, uint64_t stream, int64_t rows, int64_t columns) {
  at::Tensor matrix = at::empty({rows, columns}, at::kFloat);
  float* values = matrix.data_ptr<float>();
  for (int64_t i = 0; i < rows * columns; ++i) {
    const double u = 1 - RandomUniform(seed, stream, 2 * i);  // (0, 1]
    const double v = RandomUniform(seed, stream, 2 * i + 1);
    values[i] =
        static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
  }
  return matrix;
}

at::Tensor Orthonormal(const at::Tensor& columns) { return std::get<0>(at::linalg_qr(columns)); }

struct Principal {
  at::Tensor u, s, vh;  // [out, rank], [rank], [rank, in]
};

Principal PrincipalOf(const at::Tensor& w, int64_t rank, const at::Tensor& test) {
  at::Tensor q = Orthonormal(at::mm(w, test));
  for (int i = 0; i < kRounds; ++i) q = Orthonormal(at::mm(w, Orthonormal(at::mm(w.t(), q))));
  const auto [u, s, vh] = at::linalg_svd(at::mm(q.t(), w), /*full_matrices=*/false);
  return {at::mm(q, u.narrow(1, 0, rank)), s.narrow(0, 0, rank), vh.narrow(0, 0, rank)};
}

}  // namespace

std::vector<float> InitialValues(const BaseModel& base, const LoraLayout& layout, uint64_t seed) {
  std::vector<float> values = InitialValues(layout, seed);
  for (const LoraMatrix& matrix : layout.matrices()) {
    if (!matrix.scaled()) continue;
    const FrozenLinear& linear = Part(base.weights().blocks[matrix.layer], GroupOf(matrix.target));
    const at::Tensor norms =
        SquaredRowNorms(linear).sqrt().narrow(0, matrix.out_offset, matrix.out).contiguous();
    std::copy_n(norms.data_ptr<float>(), matrix.out, values.data() + matrix.m_offset);
  }
  return values;
}

std::vector<float> PissaValues(const BaseModel& base, const LoraLayout& layout, uint64_t seed) {
  std::vector<float> values = InitialValues(base, layout, seed);
  for (const LoraMatrix& matrix : layout.matrices()) {
    const int64_t rank = matrix.rank - matrix.frozen;
    const at::Tensor w = RowsOf(base, matrix);
    const int64_t sampled = std::min({rank + kOversampling, matrix.in, matrix.out});
    const uint64_t stream =
        kTestMatrices + matrix.layer * kAllTargets.size() + static_cast<uint64_t>(matrix.target);
    const Principal p = PrincipalOf(w, rank, TestMatrix(seed, stream, matrix.in, sampled));
    const at::Tensor root = (p.s / matrix.scale).sqrt();
    const at::Tensor a = (root.unsqueeze(1) * p.vh), b = p.u * root;
    const at::Tensor both_a = at::cat({a, a}, 0).contiguous();
    const at::Tensor both_b = at::cat({b, b.neg()}, 1).contiguous();
    std::copy_n(both_a.data_ptr<float>(), matrix.a_size(), values.data() + matrix.a_offset);
    std::copy_n(both_b.data_ptr<float>(), matrix.b_size(), values.data() + matrix.b_offset);
  }
  return values;
}

}  // namespace crossover::llm
