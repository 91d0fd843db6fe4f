// Elementwise and row-wise arithmetic of a decoder, vectorised for the processor at hand. Private
// to the rooms that compute.
//
// Numbers are stored as T (float, or the bits of a bfloat16) and always computed in fp32. A
// function works on `rows` consecutive rows on the calling thread; callers split rows over threads
// (parallel.h). Every element's result depends on its row alone, so the split never changes a bit.
#pragma once

#include <cstdint>
#include <string_view>

namespace crossover::llm {

using Bf16Bits = uint16_t;

// Hyper-parameters of one AdamW update (Loshchilov & Hutter, arXiv:1711.05101), bias corrections
// worked in.
struct AdamStep {
  float gradient_scale = 1;  // Clipping and normalisation.
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-8f;
  float decay = 0;            // learning_rate * weight_decay
  float step_size = 0;        // learning_rate / (1 - beta1^t)
  float root_correction = 1;  // 1 / sqrt(1 - beta2^t)
};

template <typename T>
struct RowKernels {
  // y = x * rstd * weight with rstd = 1/sqrt(mean(x^2) + eps), saved per row.
  void (*rms_norm)(const T* x, const float* weight, float eps, int64_t rows, int64_t dim, T* y,
                   float* rstd);
  // sum = x + delta (rounded to T), then rms_norm of sum. `sum` may be x.
  void (*add_rms_norm)(const T* x, const T* delta, const float* weight, float eps, int64_t rows,
                       int64_t dim, T* sum, T* y, float* rstd);
  // dx = dresidual + gradient of rms_norm at x. `dx` may be dresidual.
  void (*rms_norm_backward)(const T* x, const float* weight, const float* rstd, const T* dy,
                            const T* dresidual, int64_t rows, int64_t dim, T* dx);
  // Rotates `heads` consecutive heads at the start of each row of `x` (row stride ld), half-split
  // layout. cos/sin are tables of head_dim/2 values per position. direction -1 rotates back (the
  // gradient).
  void (*rope)(T* x, int64_t ld, int64_t heads, int64_t head_dim, const int32_t* positions,
               const float* cos, const float* sin, float direction, int64_t rows);
  void (*add_bias)(T* x, const float* bias, int64_t rows, int64_t dim);
  // act = silu(gate) * up; gate_up rows are [gate | up], each `dim` wide.
  void (*silu_mul)(const T* gate_up, int64_t rows, int64_t dim, T* act);
  // From d_act: overwrites gate_up with its gradient and writes act again.
  void (*silu_mul_backward)(T* gate_up, const T* d_act, int64_t rows, int64_t dim, T* act);
  // loss[i] = logsumexp(logits_i) - logits_i[target_i]; correct[i] = target is the argmax. With
  // `weights` the logits become weights[i] * (softmax - onehot); without (null) they stay.
  void (*cross_entropy)(T* logits, const int32_t* targets, const float* weights, int64_t rows,
                        int64_t vocab, float* loss, uint8_t* correct);
  // y = scale * x, with row strides.
  void (*cast)(const float* x, int64_t ld_x, float scale, int64_t rows, int64_t dim, T* y,
               int64_t ld_y);
  // y += scale * x, with row strides.
  void (*accumulate)(const T* x, int64_t ld_x, float scale, int64_t rows, int64_t dim, float* y,
                     int64_t ld_y);
  // y += x in T.
  void (*add)(T* y, const T* x, int64_t n);
  // y = x * scale, or 0 where the random number of (keys[row], column) is under `threshold` / 2^32.
  // The bits are the same for every instruction set.
  void (*dropout)(const T* x, const uint64_t* keys, uint32_t threshold, float scale, int64_t rows,
                  int64_t dim, T* y);
  // y += x * scale, but for the elements that `dropout` zeroes.
  void (*add_dropout)(const T* x, const uint64_t* keys, uint32_t threshold, float scale,
                      int64_t rows, int64_t dim, T* y);
  // x += amplitude[row] * u, u uniform in [-1, 1) by (keys[row], column).
  void (*add_noise)(T* x, const uint64_t* keys, const float* amplitude, int64_t rows, int64_t dim);
  // y = x * scale[column] + shift[column]; a null shift is 0. `y` may be x.
  void (*scale_columns)(const T* x, const float* scale, const float* shift, int64_t rows,
                        int64_t dim, T* y);
  // out[column] = sum over the rows of a * (b - bias[column]), row stride ld; a null bias is 0.
  void (*column_dot)(const T* a, const T* b, const float* bias, int64_t ld, int64_t rows,
                     int64_t dim, float* out);
  // t [rows, ranks] = x A^T for A [ranks, dim]; x has row stride ld.
  void (*low_rank_in)(const T* x, int64_t ld, const T* a, int64_t rows, int64_t ranks, int64_t dim,
                      float* t);
  // y += scale * t B for B [ranks, dim], with row strides.
  void (*low_rank_out)(const float* t, int64_t ld_t, const T* b, float scale, int64_t rows,
                       int64_t ranks, int64_t dim, T* y, int64_t ld_y);
};

// Pieces of attention over tiles. C is the type the matrix units multiply: T, or float where T has
// no hardware.
template <typename T, typename C>
struct AttentionKernels {
  // Copies rows [rows, dim] (stride ld) to a dense tile, zero-filled to `padded` rows.
  void (*copy_rows)(const T* x, int64_t ld, int64_t rows, int64_t padded, int64_t dim, C* tile);
  // B operand of a product over `dim`: tile[dim][padded] = x^T, in pairs along dim for bf16.
  void (*pack_transposed)(const T* x, int64_t ld, int64_t rows, int64_t padded, int64_t dim,
                          C* tile);
  // B operand of a product over rows: tile[padded][dim], in pairs along rows for bf16.
  void (*pack)(const T* x, int64_t ld, int64_t rows, int64_t padded, int64_t dim, C* tile);
  // A operand x^T: tile[dim][padded].
  void (*transpose)(const T* x, int64_t ld, int64_t rows, int64_t padded, int64_t dim, C* tile);
  // p = softmax(scale * s) over visible[i] first columns of row i; the rest of `columns` becomes 0.
  // Not divided by the sum, which goes to `inverse_sum`; lse = log-sum-exp.
  void (*softmax)(const float* s, int64_t ld, int64_t rows, const int32_t* visible, int64_t columns,
                  float scale, C* p, float* inverse_sum, float* lse);
  // y = o * factor[i], to rows of stride ld.
  void (*store_scaled)(const float* o, int64_t dim, const float* factor, int64_t rows, T* y,
                       int64_t ld);
  // y = o^T for o [dim][padded].
  void (*store_transposed)(const float* o, int64_t padded, int64_t dim, int64_t rows, T* y,
                           int64_t ld);
  // sum_j a_ij * b_ij
  void (*row_dot)(const T* a, int64_t ld_a, const T* b, int64_t ld_b, int64_t rows, int64_t dim,
                  float* out);
  // Backward of one tile in [key][query] layout: s = scores, dp = dO V^T; lse and delta per query.
  // Key k of the tile is seen by query q if first_key + k < visible[q]. Writes p and ds = scale * p
  // * (dp - delta) as A operands [keys][queries], and ds again as B operand (pairs along keys for
  // bf16).
  void (*backward_tile)(const float* s, const float* dp, int64_t keys, int64_t queries,
                        int64_t first_key, const int32_t* visible, const float* lse,
                        const float* delta, float scale, C* p, C* ds, C* ds_packed);
};

struct FlatKernels {
  void (*adam)(float* p, float* m, float* v, const float* g, int64_t n, const AdamStep& step);
  double (*sum_of_squares)(const float* x, int64_t n);
  // y += x
  void (*add)(float* y, const float* x, int64_t n);
};

// All kernels compiled for one instruction set.
struct KernelSet {
  std::string_view name;
  RowKernels<float> f32;
  RowKernels<Bf16Bits> bf16;
  AttentionKernels<float, float> attention_f32;
  AttentionKernels<Bf16Bits, Bf16Bits> attention_bf16;
  AttentionKernels<Bf16Bits, float> attention_bf16_in_f32;
  FlatKernels flat;
};

// The best set this processor can run; chosen once.
const KernelSet& Kernels();

template <typename T>
const RowKernels<T>& RowKernelsOf();
template <>
inline const RowKernels<float>& RowKernelsOf<float>() {
  return Kernels().f32;
}
template <>
inline const RowKernels<Bf16Bits>& RowKernelsOf<Bf16Bits>() {
  return Kernels().bf16;
}

// One set per instruction set (kernels_*.cc).
const KernelSet& KernelsAvx512();
const KernelSet& KernelsAvx2();
const KernelSet& KernelsGeneric();

}  // namespace crossover::llm
