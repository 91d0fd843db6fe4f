#include "llm/model/head_norm.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "llm/model/kernels.h"
#include "llm/model/parallel.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {

namespace {

constexpr int64_t kHeadGrain = 16;

// The heads of one token are consecutive rows of head_dim numbers: first the queries, then the
// keys.
struct HeadRows {
  int64_t q_heads;
  int64_t k_heads;
  int64_t dim;

  explicit HeadRows(const AttentionShape& shape)
      : q_heads(shape.heads), k_heads(shape.kv_heads), dim(shape.head_dim) {}
  int64_t heads() const { return q_heads + k_heads; }
  int64_t width() const { return heads() * dim; }
};

template <typename T>
void ForwardHeads(const HeadRows& rows, const HeadNorm& norm, float eps, int64_t ld, int64_t begin,
                  int64_t end, T* qkv, T* before, float* rstd) {
  std::vector<float> unused(rstd == nullptr ? rows.heads() : 0);
  for (int64_t token = begin; token < end; ++token) {
    T* x = qkv + token * ld;
    float* r = rstd == nullptr ? unused.data() : rstd + token * rows.heads();
    if (before != nullptr) {
      std::memcpy(before + token * rows.width(), x, sizeof(T) * static_cast<size_t>(rows.width()));
    }
    T* k = x + rows.q_heads * rows.dim;
    RowKernelsOf<T>().rms_norm(x, Data<float>(norm.q), eps, rows.q_heads, rows.dim, x, r);
    RowKernelsOf<T>().rms_norm(k, Data<float>(norm.k), eps, rows.k_heads, rows.dim, k,
                               r + rows.q_heads);
  }
}

template <typename T>
void BackwardHeads(const HeadRows& rows, const HeadNorm& norm, int64_t ld, int64_t begin,
                   int64_t end, const T* before, const float* rstd, T* d_qkv) {
  const std::vector<T> zeros(rows.width());  // No residual goes around this norm.
  const int64_t keys = rows.q_heads * rows.dim;
  for (int64_t token = begin; token < end; ++token) {
    const T* x = before + token * rows.width();
    const float* r = rstd + token * rows.heads();
    T* d = d_qkv + token * ld;
    RowKernelsOf<T>().rms_norm_backward(x, Data<float>(norm.q), r, d, zeros.data(), rows.q_heads,
                                        rows.dim, d);
    RowKernelsOf<T>().rms_norm_backward(x + keys, Data<float>(norm.k), r + rows.q_heads, d + keys,
                                        zeros.data(), rows.k_heads, rows.dim, d + keys);
  }
}

template <typename T>
T* DataOrNull(const at::Tensor& tensor) {
  return tensor.defined() ? Data<T>(tensor) : nullptr;
}

}  // namespace

void HeadNormRows(const AttentionShape& shape, const HeadNorm& norm, double eps, at::Tensor& qkv,
                  at::Tensor& before, at::Tensor& rstd) {
  if (!norm.defined()) return;
  const HeadRows rows(shape);
  const bool fp32 = qkv.scalar_type() == at::kFloat;
  ParallelRanges(qkv.size(0), kHeadGrain, [&](int64_t begin, int64_t end) {
    const auto run = [&]<typename T>(T*) {
      ForwardHeads<T>(rows, norm, static_cast<float>(eps), qkv.size(1), begin, end, Data<T>(qkv),
                      DataOrNull<T>(before), DataOrNull<float>(rstd));
    };
    fp32 ? run(static_cast<float*>(nullptr)) : run(static_cast<Bf16Bits*>(nullptr));
  });
}

void HeadNormBackwardRows(const AttentionShape& shape, const HeadNorm& norm,
                          const at::Tensor& before, const at::Tensor& rstd, at::Tensor& d_qkv) {
  if (!norm.defined()) return;
  const HeadRows rows(shape);
  const bool fp32 = d_qkv.scalar_type() == at::kFloat;
  ParallelRanges(d_qkv.size(0), kHeadGrain, [&](int64_t begin, int64_t end) {
    const auto run = [&]<typename T>(T*) {
      BackwardHeads<T>(rows, norm, d_qkv.size(1), begin, end, Data<T>(before), Data<float>(rstd),
                       Data<T>(d_qkv));
    };
    fp32 ? run(static_cast<float*>(nullptr)) : run(static_cast<Bf16Bits*>(nullptr));
  });
}

}  // namespace crossover::llm
