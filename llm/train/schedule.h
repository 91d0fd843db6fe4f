// Learning rate and row order of a training run, both functions of the step alone.
#pragma once

#include <cstdint>
#include <vector>

#include "llm/train/trainer.h"

namespace crossover::llm {

// Rate of step t = 0 … steps-1 (formula at TrainConfig::learning_rate).
double LearningRate(const TrainConfig& config, int64_t t, int64_t steps);

// How a run walks over its rows. An epoch is cut into windows of batch_rows * accumulation rows;
// its last one may be shorter.
class RowOrder {
 public:
  RowOrder(const TrainConfig& config, int64_t rows);

  int64_t steps() const { return steps_; }
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  // Rows of step t, in order.
  std::vector<int32_t> Window(int64_t t);

 private:
  int64_t rows_;
  int64_t window_;
  int64_t steps_per_epoch_;
  int64_t steps_;
  bool shuffle_;
  uint64_t seed_;
  int64_t epoch_ = -1;  // Of order_.
  std::vector<int32_t> order_;
};

}  // namespace crossover::llm
