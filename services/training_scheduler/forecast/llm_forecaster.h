// Forecaster by the language-model library: reads the model's shape and tokenizer from its GGUF
// file or folder, encodes rows of the sealed version as the worker will, packs them and counts.
#pragma once

#include <memory>

#include "absl/synchronization/mutex.h"
#include "common/blob/blob_store.h"
#include "services/training_scheduler/domain/forecaster.h"

namespace crossover::scheduler {

// Keeps the last base model's tokenizer and the last data set's rows, as ids, for the next question
// (a sweep asks once a trial). Borrows the blob store. Assumes workers that compute in bfloat16,
// unless the spec says FLOAT32 or none does, and that keep the base by --base-weights=auto.
class LlmForecaster final : public Forecaster {
 public:
  explicit LlmForecaster(BlobStore& blobs);
  ~LlmForecaster() override;

  absl::StatusOr<TrainingForecast> Forecast(const Inputs& inputs, const ResolvedSpec& spec,
                                            const ForecastWorkers& workers) override;

 private:
  struct Base;
  struct Rows;

  absl::StatusOr<const Base*> FindBase(const Inputs& inputs, const ResolvedSpec& spec)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<const Rows*> FindRows(const Inputs& inputs, const ResolvedSpec& spec,
                                       const Base& base, int64_t limit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  BlobStore& blobs_;
  absl::Mutex mutex_;
  std::unique_ptr<Base> base_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Rows> rows_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::scheduler
