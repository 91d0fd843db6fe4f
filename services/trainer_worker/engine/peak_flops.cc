#include "services/trainer_worker/engine/peak_flops.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>

namespace crossover::worker {

double MeasurePeakFlops(const llm::Execution& execution) {
  constexpr int64_t kSize = 768;
  constexpr double kOperations = 2.0 * kSize * kSize * kSize;
  const c10::InferenceMode inference;
  const at::ScalarType type = execution.bf16() ? at::kBFloat16 : at::kFloat;
  const at::Tensor a = at::ones({kSize, kSize}, type);
  const at::Tensor b = at::ones({kSize, kSize}, type);
  double best = 0;
  for (int round = 0; round < 4; ++round) {  // the first also warms up
    const auto before = std::chrono::steady_clock::now();
    at::matmul(a, b);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
    best = std::max(best, kOperations / std::max(took.count(), 1e-9));
  }
  return best;
}

}  // namespace crossover::worker
