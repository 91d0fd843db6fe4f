#include "llm/model/rows.h"

#include <algorithm>
#include <cstring>

#include "llm/model/kernels.h"
#include "llm/model/parallel.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {

namespace {

// Rows that are worth a thread of their own.
constexpr int64_t kRowGrain = 16;

// Columns that one thread adds up.
constexpr int64_t kColumns = 256;

// Calls work.template operator()<T>(begin, end) on row ranges.
template <typename Work>
void OnRows(const at::Tensor& like, int64_t rows, const Work& work) {
  const bool fp32 = like.scalar_type() == at::kFloat;
  ParallelRanges(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    if (fp32) {
      work.template operator()<float>(begin, end);
    } else {
      work.template operator()<Bf16Bits>(begin, end);
    }
  });
}

}  // namespace

void RmsNormRows(const at::Tensor& x, const at::Tensor& weight, double eps, at::Tensor& y,
                 at::Tensor& rstd) {
  const int64_t dim = x.size(1);
  OnRows(x, x.size(0), [&]<typename T>(int64_t begin, int64_t end) {
    RowKernelsOf<T>().rms_norm(Data<T>(x) + begin * dim, Data<float>(weight),
                               static_cast<float>(eps), end - begin, dim, Data<T>(y) + begin * dim,
                               Data<float>(rstd) + begin);
  });
}

void AddRmsNormRows(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                    double eps, at::Tensor& sum, at::Tensor& y, at::Tensor& rstd) {
  const int64_t dim = x.size(1);
  OnRows(x, x.size(0), [&]<typename T>(int64_t begin, int64_t end) {
    RowKernelsOf<T>().add_rms_norm(Data<T>(x) + begin * dim, Data<T>(delta) + begin * dim,
                                   Data<float>(weight), static_cast<float>(eps), end - begin, dim,
                                   Data<T>(sum) + begin * dim, Data<T>(y) + begin * dim,
                                   Data<float>(rstd) + begin);
  });
}

void RmsNormBackwardRows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rstd,
                         const at::Tensor& dy, const at::Tensor& dresidual, at::Tensor& dx) {
  const int64_t dim = x.size(1);
  OnRows(x, x.size(0), [&]<typename T>(int64_t begin, int64_t end) {
    RowKernelsOf<T>().rms_norm_backward(Data<T>(x) + begin * dim, Data<float>(weight),
                                        Data<float>(rstd) + begin, Data<T>(dy) + begin * dim,
                                        Data<T>(dresidual) + begin * dim, end - begin, dim,
                                        Data<T>(dx) + begin * dim);
  });
}

void RopeRows(at::Tensor& x, int64_t heads, const std::vector<int32_t>& positions,
              const RopeTable& table, float direction) {
  const int64_t ld = x.size(1);
  OnRows(x, x.size(0), [&]<typename T>(int64_t begin, int64_t end) {
    RowKernelsOf<T>().rope(Data<T>(x) + begin * ld, ld, heads, table.head_dim,
                           positions.data() + begin, Data<float>(table.cos), Data<float>(table.sin),
                           direction, end - begin);
  });
}

void AddBiasRows(at::Tensor& x, const at::Tensor& bias) {
  const int64_t dim = x.size(1);
  OnRows(x, x.size(0), [&]<typename T>(int64_t begin, int64_t end) {
    RowKernelsOf<T>().add_bias(Data<T>(x) + begin * dim, Data<float>(bias), end - begin, dim);
  });
}

void SiluMulRows(const at::Tensor& gate_up, at::Tensor& act) {
  const int64_t dim = act.size(1);
  OnRows(act, act.size(0), [&]<typename T>(int64_t begin, int64_t end) {
    RowKernelsOf<T>().silu_mul(Data<T>(gate_up) + begin * 2 * dim, end - begin, dim,
                               Data<T>(act) + begin * dim);
  });
}

void SiluMulBackwardRows(at::Tensor& gate_up, const at::Tensor& d_act, at::Tensor& act) {
  const int64_t dim = act.size(1);
  OnRows(act, act.size(0), [&]<typename T>(int64_t begin, int64_t end) {
    RowKernelsOf<T>().silu_mul_backward(Data<T>(gate_up) + begin * 2 * dim,
                                        Data<T>(d_act) + begin * dim, end - begin, dim,
                                        Data<T>(act) + begin * dim);
  });
}

void CrossEntropyRows(at::Tensor& logits, const int32_t* targets, const float* weights, float* loss,
                      uint8_t* correct) {
  const int64_t vocab = logits.size(1);
  const bool fp32 = logits.scalar_type() == at::kFloat;
  ParallelRanges(logits.size(0), 1, [&](int64_t begin, int64_t end) {
    const float* w = weights == nullptr ? nullptr : weights + begin;
    if (fp32) {
      RowKernelsOf<float>().cross_entropy(Data<float>(logits) + begin * vocab, targets + begin, w,
                                          end - begin, vocab, loss + begin, correct + begin);
    } else {
      RowKernelsOf<Bf16Bits>().cross_entropy(Data<Bf16Bits>(logits) + begin * vocab,
                                             targets + begin, w, end - begin, vocab, loss + begin,
                                             correct + begin);
    }
  });
}

void ScaleColumnsRows(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                      at::Tensor& y) {
  const int64_t dim = x.size(1);
  OnRows(x, x.size(0), [&]<typename T>(int64_t begin, int64_t end) {
    RowKernelsOf<T>().scale_columns(Data<T>(x) + begin * dim, Data<float>(scale),
                                    shift.defined() ? Data<float>(shift) : nullptr, end - begin,
                                    dim, Data<T>(y) + begin * dim);
  });
}

void ColumnDot(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias, at::Tensor& out) {
  const int64_t rows = a.size(0), dim = a.size(1);
  const bool fp32 = a.scalar_type() == at::kFloat;
  const auto columns = [&]<typename T>(int64_t begin, int64_t end) {
    RowKernelsOf<T>().column_dot(Data<T>(a) + begin, Data<T>(b) + begin,
                                 bias.defined() ? Data<float>(bias) + begin : nullptr, dim, rows,
                                 end - begin, Data<float>(out) + begin);
  };
  ParallelTasks((dim + kColumns - 1) / kColumns, [&](int64_t i) {
    const int64_t begin = i * kColumns, end = std::min(dim, begin + kColumns);
    fp32 ? columns.template operator()<float>(begin, end)
         : columns.template operator()<Bf16Bits>(begin, end);
  });
}

void GatherRowsOf(const at::Tensor& table, const int32_t* indices, int64_t count, at::Tensor& out) {
  const size_t bytes = table.size(1) * table.element_size();
  const char* from = Data<char>(table);
  char* to = Data<char>(out);
  for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * bytes, from + indices[i] * bytes, bytes);
}

}  // namespace crossover::llm
