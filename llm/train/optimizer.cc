#include "llm/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "llm/model/kernels.h"
#include "llm/model/parallel.h"

namespace crossover::llm {

namespace {

constexpr int64_t kBlock = 1 << 16;

}  // namespace

double AdamW::Norm(std::span<const float> gradient) {
  const int64_t n = static_cast<int64_t>(gradient.size());
  std::vector<double> partial((n + kBlock - 1) / kBlock);
  ParallelTasks(static_cast<int64_t>(partial.size()), [&](int64_t i) {
    partial[i] = Kernels().flat.sum_of_squares(gradient.data() + i * kBlock,
                                               std::min(kBlock, n - i * kBlock));
  });
  double sum = 0;
  for (const double block : partial) sum += block;
  return std::sqrt(sum);
}

void AdamW::Step(int64_t t, double learning_rate, double norm, std::span<const float> gradient,
                 std::span<float> parameters) {
  AdamStep step;
  // As torch.nn.utils.clip_grad_norm_.
  if (options_.max_norm > 0)
    step.gradient_scale = static_cast<float>(std::min(1.0, options_.max_norm / (norm + 1e-6)));
  step.beta1 = static_cast<float>(options_.beta1);
  step.beta2 = static_cast<float>(options_.beta2);
  step.epsilon = static_cast<float>(options_.epsilon);
  step.decay = static_cast<float>(learning_rate * options_.weight_decay);
  step.step_size =
      static_cast<float>(learning_rate / (1 - std::pow(options_.beta1, static_cast<double>(t))));
  step.root_correction =
      static_cast<float>(1 / std::sqrt(1 - std::pow(options_.beta2, static_cast<double>(t))));
  const int64_t n = static_cast<int64_t>(parameters.size());
  ParallelTasks((n + kBlock - 1) / kBlock, [&](int64_t i) {
    const int64_t first = i * kBlock;
    Kernels().flat.adam(parameters.data() + first, m_.data() + first, v_.data() + first,
                        gradient.data() + first, std::min(kBlock, n - first), step);
  });
}

}  // namespace crossover::llm
