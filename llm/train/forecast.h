// What a training will take, before it starts. No torch, no weights: from the model's shape and the
// rows.
#pragma once

#include <cstdint>
#include <vector>

#include "llm/formats/model_config.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

struct ForecastOptions {
  int64_t train_rows = 0;  // Of the run; those given may be a sample of them.
  int64_t eval_every = 0;  // Steps between evaluations; 0: none.
  bool bf16 = true;
  int workers = 1;  // Processes that share each window (collective.h).
  // Free memory of each, which decides about the base's storage and what is recomputed where that
  // is left to the worker; 0: not known, and both are kept whole.
  int64_t memory_bytes = 0;
  int64_t stored_bytes = 0;  // Of the base's weights in its files; 0: it is kept dense.
};

struct Forecast {
  int64_t steps = 0;
  int64_t tokens = 0;           // Of all rows of all steps, as StepReport counts them.
  int64_t computed_tokens = 0;  // After shared prefixes, evaluations left out.
  int64_t longest_row = 0;      // In tokens; of both answers of a pair.
  int64_t largest_pack = 0;
  // Floating-point operations of all steps and evaluations; memory-bound work counts as those that
  // a processor does meanwhile, so that time is work over a rate that was measured. Of all workers
  // together, as long as each has equally many rows.
  double work = 0;
  int64_t peak_memory_bytes = 0;  // Resident set of a process (each) that does nothing else.
  bool stored = false;            // The base stays in its file's bytes (WeightStorage::kStored).
  bool recompute = false;         // The backward pass computes activations again.
};

// Tokens of the longest row that a run takes: max_row_tokens, the context, the reach of a sliding
// window, and 32,768.
int64_t LongestRow(const ModelConfig& model, const TrainConfig& config);

// `train` must not be empty. Requires CheckPlan(model, config). Deterministic.
Forecast ForecastOf(const ModelConfig& model, const TrainConfig& config,
                    const std::vector<TrainRow>& train, const std::vector<TrainRow>& validation,
                    const ForecastOptions& options);

}  // namespace crossover::llm
