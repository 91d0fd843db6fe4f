// AdamW over one flat buffer (Loshchilov & Hutter, arXiv:1711.05101), with clipping of the global
// norm.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace crossover::llm {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double max_norm = 0;  // 0: no clipping.
};

class AdamW {
 public:
  AdamW(AdamWOptions options, int64_t size) : options_(options), m_(size, 0.0f), v_(size, 0.0f) {}

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
  std::vector<float> m_, v_;
};

}  // namespace crossover::llm
