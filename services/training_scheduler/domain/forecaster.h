// What a training will take, measured on its rows and its base model before anything runs. The real
// one uses the language-model library; see room forecast.
#pragma once

#include "absl/status/statusor.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

struct TrainingForecast {
  int64_t tokens = 0;       // of all steps
  int64_t longest_row = 0;  // tokens; of those that are longer than the limit, if any, of all rows
  int64_t row_limit = 0;    // tokens that a row may have: max_length, and what the base can do
  bool all_rows = false;    // false: a sample was measured
  // Operations of all steps and evaluations; time is work over a measured rate.
  double work = 0;                // of all workers together
  int64_t peak_memory_bytes = 0;  // of each
};

// Who would run a training.
struct ForecastWorkers {
  int32_t count = 1;  // that share it
  // Of each; decides how the base and activations are kept where that is left to the worker. 0: not
  // known, and both are kept whole.
  int64_t memory_bytes = 0;
  bool float32_only = false;  // none computes in anything else
};

// Thread-safe.
class Forecaster {
 public:
  virtual ~Forecaster() = default;
  // INVALID_ARGUMENT names a row that cannot be trained on or, by its violations, fields that do
  // not fit the base model. Any other error: nothing is known (no such blob here, a model file that
  // cannot be read).
  virtual absl::StatusOr<TrainingForecast> Forecast(const Inputs& inputs, const ResolvedSpec& spec,
                                                    const ForecastWorkers& workers) = 0;
};

// For tests: says what it is told.
class FakeForecaster final : public Forecaster {
 public:
  absl::StatusOr<TrainingForecast> Forecast(const Inputs&, const ResolvedSpec&,
                                            const ForecastWorkers& workers) override {
    seen = workers;
    return answer;
  }
  ForecastWorkers seen;
  absl::StatusOr<TrainingForecast> answer = TrainingForecast{};
};

}  // namespace crossover::scheduler
