// Gradient of the adapter through a frozen decoder, written by hand: no autograd graph, no gradient
// of frozen weights. Sees torch.
//
// Per group of linear layers, y = x W^T + t B^T with t = x A^T (B holds the scale):
//   dt = dy B, dA = dt^T x, dB = dy^T t, dx = dy W + dt A
// (the arrangement of Unsloth's fast_lora and Axolotl). The first block needs no dx. With a dropout
// D of the adapter's inputs t = D(x) A^T, so that dA = dt^T D(x) and dx = dy W + D(dt A).
//
// DoRA: y = c u + bias with u = x W^T + t B^T, c = m / n, n the row norms of W + B A, which count
// as constant (section 4.3 of arXiv:2402.09353). So du = c dy stands for dy above, and dm = sum
// over the tokens of dy u / n.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>

#include "llm/lora/layout.h"
#include "llm/lora/operands.h"
#include "llm/model/base_model.h"
#include "llm/model/decoder.h"
#include "llm/model/pack.h"

namespace crossover::llm {

class DecoderBackward {
 public:
  // Borrows both.
  DecoderBackward(const BaseModel& base, const LoraLayout& layout);

  // Adds the gradient of layout.size() numbers to `gradients`. `activations` is what DecoderForward
  // left; gate_up is overwritten. d_hidden is the gradient of h_final; overwritten.
  void Run(const Pack& pack, const LoraOperands& operands, Activations& activations,
           at::Tensor& d_hidden, std::span<float> gradients, const StepNoise& noise = {});

 private:
  struct Buffers {
    at::Tensor dx, d_h;             // [tokens, hidden]
    at::Tensor d_act, act;          // [tokens, intermediate]
    at::Tensor d_attention, d_qkv;  // [tokens, …]
    at::Tensor du;                  // [tokens, hidden], only with DoRA
  };
  // One group of layers of one block.
  struct Place {
    int64_t layer;
    Group group;
    const FrozenLinear& linear;
    const LowRank& low_rank;
    Dropout dropout;
  };

  void Resize(int64_t tokens);
  // du, dy itself without DoRA, and adds dm. `to` receives du; it may be dy.
  at::Tensor& Unscaled(const Place& place, const at::Tensor& u, at::Tensor& dy, at::Tensor& to,
                       std::span<float> gradients);
  // dt_ = dy B, and d_input = dy W + dt A unless it is null.
  void InputGradient(const Place& place, const at::Tensor& dy, const Activations& activations,
                     at::Tensor* d_input);
  // Adds dA and dB of one group, after InputGradient of the same dy.
  void AdapterGradients(const Place& place, const at::Tensor& input, const at::Tensor& t,
                        const at::Tensor& dy, const Activations& activations,
                        std::span<float> gradients);
  void BlockBackward(const Pack& pack, const LoraOperands& operands, Activations& activations,
                     const StepNoise& noise, int64_t i, std::span<float> gradients);

  const BaseModel& base_;
  const LoraLayout& layout_;
  int64_t first_layer_;  // The lowest adapted layer: below it no gradient is needed.
  int64_t capacity_ = 0;
  Buffers memory_, view_;
  bool dora_ = false;
  at::Tensor dt_, dt_memory_, dm_memory_, outer_memory_;
};

}  // namespace crossover::llm
