#include "llm/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "llm/model/random.h"

namespace crossover::llm {

double LearningRate(const TrainConfig& config, int64_t t, int64_t steps) {
  double rate = config.learning_rate;
  if (config.warmup_steps > 0) {
    rate *= std::min(1.0, static_cast<double>(t + 1) / static_cast<double>(config.warmup_steps));
  }
  const double x = static_cast<double>(t) / static_cast<double>(std::max<int64_t>(1, steps));
  switch (config.schedule) {
    case Schedule::kConstant:
      return rate;
    case Schedule::kLinear:
      return rate * (1 - x);
    case Schedule::kWsd: {
      const double decay = config.decay_share;
      return x <= 1 - decay ? rate : rate * (1 - std::sqrt((x - (1 - decay)) / decay));
    }
    case Schedule::kCosine:
      break;
  }
  return rate * 0.5 * (1 + std::cos(std::numbers::pi * x));
}

RowOrder::RowOrder(const TrainConfig& config, int64_t rows)
    : rows_(rows),
      window_(static_cast<int64_t>(config.batch_rows) * config.accumulation),
      steps_per_epoch_((rows + window_ - 1) / window_),
      shuffle_(config.shuffle),
      seed_(config.seed) {
  steps_ = config.max_steps > 0
               ? config.max_steps
               : static_cast<int64_t>(
                     std::ceil(config.epochs * static_cast<double>(steps_per_epoch_) - 1e-9));
}

std::vector<int32_t> RowOrder::Window(int64_t t) {
  const int64_t epoch = t / steps_per_epoch_;
  if (epoch != epoch_) {
    epoch_ = epoch;
    order_.resize(rows_);
    std::iota(order_.begin(), order_.end(), 0);
    // Fisher and Yates. The stream is far from those of the initial weights (adapter.cc) and of
    // the noise (noise.cc).
    const uint64_t stream = (uint64_t{1} << 32) + static_cast<uint64_t>(epoch);
    for (int64_t i = shuffle_ ? rows_ - 1 : 0; i > 0; --i) {
      std::swap(order_[i], order_[RandomBits(seed_, stream, i) % static_cast<uint64_t>(i + 1)]);
    }
  }
  const int64_t first = t % steps_per_epoch_ * window_;
  return {order_.begin() + first, order_.begin() + std::min(rows_, first + window_)};
}

}  // namespace crossover::llm
