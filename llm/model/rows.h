// The row kernels of kernels.h on whole tensors, split over threads. Sees torch. All tensors
// contiguous, bf16 or fp32 alike.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace crossover::llm {

// Cosines and sines of the rotary embedding, [positions, head_dim/2] fp32 each.
struct RopeTable {
  at::Tensor cos;
  at::Tensor sin;
  int64_t head_dim = 0;
};

void RmsNormRows(const at::Tensor& x, const at::Tensor& weight, double eps, at::Tensor& y,
                 at::Tensor& rstd);
void AddRmsNormRows(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                    double eps, at::Tensor& sum, at::Tensor& y, at::Tensor& rstd);
void RmsNormBackwardRows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rstd,
                         const at::Tensor& dy, const at::Tensor& dresidual, at::Tensor& dx);
// Rotates the first `heads` heads of each row; direction -1 for the gradient.
void RopeRows(at::Tensor& x, int64_t heads, const std::vector<int32_t>& positions,
              const RopeTable& table, float direction);
void AddBiasRows(at::Tensor& x, const at::Tensor& bias);
void SiluMulRows(const at::Tensor& gate_up, at::Tensor& act);
void SiluMulBackwardRows(at::Tensor& gate_up, const at::Tensor& d_act, at::Tensor& act);
// As RowKernels::cross_entropy; `weights` may be undefined.
void CrossEntropyRows(at::Tensor& logits, const int32_t* targets, const float* weights, float* loss,
                      uint8_t* correct);
// As RowKernels::scale_columns; `shift` may be undefined, `y` may be x.
void ScaleColumnsRows(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                      at::Tensor& y);
// As RowKernels::column_dot over whole tensors [rows, dim]; `bias` may be undefined; out [dim]
// fp32. The same bits for any number of threads.
void ColumnDot(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias, at::Tensor& out);
// Rows of `table` [n, dim] by index, to out [indices, dim].
void GatherRowsOf(const at::Tensor& table, const int32_t* indices, int64_t count, at::Tensor& out);

}  // namespace crossover::llm
