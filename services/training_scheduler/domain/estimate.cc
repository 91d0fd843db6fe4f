#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/training_scheduler/domain/planner.h"

namespace crossover::scheduler {
namespace {

// When nothing was measured. A frozen base needs 4 × parameters operations a token; two modern
// cores give some 200 GFLOP/s of that (SmolLM2-135M: about 470 tokens/s). A token is about 3.5
// bytes of English text or JSON.
constexpr double kOperationsPerSecond = 2.5e11;
constexpr double kBytesPerToken = 3.5;
constexpr double kTokensPerRow = 200;
constexpr double kUnknownFactor = 3;  // the true value may be so many times less or more

double TokensPerRow(const DatasetFacts& data, const MeasuredRate& rate) {
  if (data.content_bytes > 0 && data.train_rows > 0) {
    return static_cast<double>(data.content_bytes) / kBytesPerToken /
           static_cast<double>(data.train_rows);
  }
  return rate.tokens_per_row > 0 ? rate.tokens_per_row : kTokensPerRow;
}

// Of one worker with all rows.
Consumption EstimateAlone(const ResolvedSpec& spec, const BaseFacts& base, const DatasetFacts& data,
                          const MeasuredRate& rate,
                          const std::optional<TrainingForecast>& forecast) {
  Consumption estimate;
  if (forecast.has_value()) {
    estimate.tokens = forecast->tokens;
    estimate.work = forecast->work;
    estimate.peak_memory_bytes = forecast->peak_memory_bytes;
  } else {
    const double rows = static_cast<double>(
        std::min(spec.steps * spec.batch_size,
                 static_cast<int64_t>(spec.epochs * static_cast<double>(spec.train_rows)) + 1));
    estimate.tokens = static_cast<int64_t>(rows * TokensPerRow(data, rate));
  }
  if (forecast.has_value() && rate.work_per_second > 0) {
    estimate.seconds = forecast->work / rate.work_per_second;
    estimate.seconds_lower = forecast->work / rate.work_per_second_upper;
    estimate.seconds_upper = forecast->work / rate.work_per_second_lower;
    estimate.basis = absl::StrFormat(
        "measured: its rows, and the speed of finished jobs on this base, %.0f "
        "GFLOP/s",
        rate.work_per_second / 1e9);
    return estimate;
  }
  const double tokens = static_cast<double>(estimate.tokens);
  if (rate.jobs > 0) {
    estimate.seconds = tokens / rate.tokens_per_second;
    estimate.seconds_lower = tokens / rate.tokens_per_second_upper;
    estimate.seconds_upper = tokens / rate.tokens_per_second_lower;
    estimate.basis = absl::StrFormat("measured: %d finished jobs on this base, %.0f tokens/s",
                                     rate.jobs, rate.tokens_per_second);
    return estimate;
  }
  const double parameters = base.parameters > 0 ? static_cast<double>(base.parameters) : 135e6;
  const double work = forecast.has_value() ? forecast->work : tokens * 4 * parameters;
  estimate.seconds = work / kOperationsPerSecond;
  estimate.seconds_lower = estimate.seconds / kUnknownFactor;
  estimate.seconds_upper = estimate.seconds * kUnknownFactor;
  estimate.basis =
      forecast.has_value()
          ? "its rows, measured; their speed by a rule of thumb, 250 GFLOP/s, within a factor of 3 "
            "(no job on this base has finished yet)"
          : "rule of thumb (no job on this base has finished yet): 4 × parameters operations a "
            "token at 250 GFLOP/s; within a factor of 3";
  return estimate;
}

// Share of a window's time that is left when `workers` share its rows: the worker with most rows is
// waited for.
double TimeLeft(int64_t rows, int32_t workers) {
  const double window = static_cast<double>(std::max<int64_t>(1, rows));
  return std::ceil(window / workers) / window;
}

}  // namespace

Consumption EstimateTraining(const ResolvedSpec& spec, const BaseFacts& base,
                             const DatasetFacts& data, const MeasuredRate& rate,
                             const std::optional<TrainingForecast>& forecast, int32_t workers) {
  Consumption estimate = EstimateAlone(spec, base, data, rate, forecast);
  if (workers <= 1) return estimate;
  const double left = TimeLeft(spec.batch_size, workers);
  estimate.seconds *= left;
  estimate.seconds_lower *= left;
  estimate.seconds_upper *= left;
  absl::StrAppend(&estimate.basis, "; shared by ", workers,
                  " workers, the time between them left aside");
  return estimate;
}

}  // namespace crossover::scheduler
