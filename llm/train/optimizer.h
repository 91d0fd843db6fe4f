// AdamW over one flat buffer (Loshchilov & Hutter, arXiv:1711.05101), with clipping of the global
// norm and LoRA+ (Hayou, Ghosh & Yu, arXiv:2402.12354): B learns faster than A.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llm/lora/layout.h"

namespace crossover::llm {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double max_norm = 0;  // 0: no clipping.
};

// Numbers [offset, offset + size) of the flat buffer that are trained alike.
struct ParameterRun {
  int64_t offset = 0;
  int64_t size = 0;
  double rate = 1;  // Times the learning rate.
  bool decays = true;
};

// The trained numbers of an adapter in order, as few runs as there can be. As PEFT's
// create_loraplus_optimizer, B and magnitudes learn at `b_rate` times the rate of A, and magnitudes
// do not decay.
std::vector<ParameterRun> TrainedRuns(const LoraLayout& layout, double b_rate);

class AdamW {
 public:
  // Numbers of the buffer of `size` that lie in no run stay as they are.
  AdamW(AdamWOptions options, int64_t size, const std::vector<ParameterRun>& runs);

  // Makes the gradient of numbers outside of the runs 0.
  void ClearUntrained(std::span<float> gradient) const;

  // L2 norm, the same for any number of threads.
  static double Norm(std::span<const float> gradient);

  // Update number `t` (1, 2, …) with a gradient whose norm is `norm`.
  void Step(int64_t t, double learning_rate, double norm, std::span<const float> gradient,
            std::span<float> parameters);

  std::vector<float>& m() { return m_; }
  std::vector<float>& v() { return v_; }
  const std::vector<float>& m() const { return m_; }
  const std::vector<float>& v() const { return v_; }

 private:
  AdamWOptions options_;
  std::vector<ParameterRun> pieces_;     // The runs, cut where they are long.
  std::vector<ParameterRun> untrained_;  // What lies between.
  std::vector<float> m_, v_;
};

}  // namespace crossover::llm
