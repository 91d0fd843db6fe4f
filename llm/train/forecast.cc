#include "llm/train/forecast.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "llm/train/adapter_plan.h"
#include "llm/train/forecast_memory.h"
#include "llm/train/packer.h"
#include "llm/train/schedule.h"

namespace crossover::llm {

namespace {

// An optimizer step reads and writes adapter, gradient and both moments: so many operations of a
// matrix product pass per number meanwhile.
constexpr double kOperationsPerUpdate = 500;

// Of one step, or of all validation rows.
struct Load {
  double tokens = 0, computed = 0, trained = 0;
  int64_t largest_pack = 0;
};

// Rejected answers are sequences of their own.
Load LoadOf(std::vector<const TrainRow*> rows, const TrainConfig& config) {
  Load load;
  std::vector<TrainRow> rejected;
  for (const TrainRow* row : rows) {
    if (row->rejected_ids.empty()) continue;
    rejected.push_back({.ids = row->rejected_ids, .token_weights = row->rejected_weights});
  }
  for (const TrainRow& row : rejected) rows.push_back(&row);
  for (const TrainRow* row : rows) load.tokens += static_cast<double>(row->ids.size());
  const PackOptions packing{config.max_pack_tokens, config.share_prefix, config.min_shared_prefix};
  for (const TrainPack& pack : PackRows(rows, packing)) {
    load.computed += static_cast<double>(pack.pack.tokens());
    load.trained += static_cast<double>(pack.entries.size());
    load.largest_pack = std::max(load.largest_pack, pack.pack.tokens());
  }
  return load;
}

// Of all `workers`, each with every n-th row (data_parallel.h); the largest pack is one's.
Load LoadOfShares(const std::vector<const TrainRow*>& rows, const TrainConfig& config,
                  int workers) {
  Load sum;
  for (int rank = 0; rank < workers; ++rank) {
    std::vector<const TrainRow*> share;
    for (size_t i = rank; i < rows.size(); i += workers) share.push_back(rows[i]);
    if (share.empty()) break;
    const Load load = LoadOf(std::move(share), config);
    sum.tokens += load.tokens;
    sum.computed += load.computed;
    sum.trained += load.trained;
    sum.largest_pack = std::max(sum.largest_pack, load.largest_pack);
  }
  return sum;
}

// The mean step over one epoch of the rows given.
Load MeanStep(const TrainConfig& config, const std::vector<TrainRow>& train, int workers) {
  TrainConfig epoch = config;
  epoch.max_steps = 0;
  epoch.epochs = 1;
  RowOrder order(epoch, static_cast<int64_t>(train.size()));
  Load mean;
  const int64_t windows = order.steps();
  for (int64_t t = 0; t < windows; ++t) {
    std::vector<const TrainRow*> rows;
    for (const int32_t i : order.Window(t)) rows.push_back(&train[i]);
    const Load step = LoadOfShares(rows, config, workers);
    mean.tokens += step.tokens / static_cast<double>(windows);
    mean.computed += step.computed / static_cast<double>(windows);
    mean.trained += step.trained / static_cast<double>(windows);
    mean.largest_pack = std::max(mean.largest_pack, step.largest_pack);
  }
  return mean;
}

int ReferencePasses(const TrainConfig& config) {
  return config.objective == ObjectiveKind::kPreference || config.kl_weight > 0 ? 1 : 0;
}

double WorkOf(const ModelConfig& model, const TrainConfig& config, const LoraLayout& layout,
              const Load& step, const Load& validation, int64_t steps, int64_t evaluations,
              int workers, bool recompute) {
  const double frozen = static_cast<double>(FrozenParameters(model));
  const double adapter = static_cast<double>(layout.size());
  const double head = static_cast<double>(model.vocab_size * model.hidden_size);
  const int reference = ReferencePasses(config);
  // Forward and backward; a preference's policy goes through the head once more, for the margins.
  const bool preference = config.objective == ObjectiveKind::kPreference;
  const double heads = 4 + 2 * reference + (preference ? 2 : 0);
  const int passes = (recompute ? 6 : 4) + 2 * reference;  // as WindowComputer::FlopsPerToken
  const double of_step = step.computed * (passes * frozen + 6 * adapter) +
                         step.trained * heads * head + workers * kOperationsPerUpdate * adapter;
  const double of_evaluation = validation.computed * ((2 + 2 * reference) * frozen + 2 * adapter) +
                               validation.trained * (2 + 2 * reference) * head;
  return static_cast<double>(steps) * of_step + static_cast<double>(evaluations) * of_evaluation;
}

}  // namespace

int64_t LongestRow(const ModelConfig& model, const TrainConfig& config) {
  const int64_t limit = std::min({config.max_row_tokens, model.context_length, int64_t{32768}});
  return model.sliding_window > 0 ? std::min(limit, model.sliding_window) : limit;
}

Forecast ForecastOf(const ModelConfig& model, const TrainConfig& config,
                    const std::vector<TrainRow>& train, const std::vector<TrainRow>& validation,
                    const ForecastOptions& options) {
  const int workers = std::max(1, options.workers);
  const Load step = MeanStep(config, train, workers);
  std::vector<const TrainRow*> rows;
  for (const TrainRow& row : validation) rows.push_back(&row);
  const Load held_out = LoadOfShares(rows, config, workers);
  Forecast forecast;
  forecast.steps = RowOrder(config, std::max<int64_t>(1, options.train_rows)).steps();
  for (const std::vector<TrainRow>* split : {&train, &validation}) {
    for (const TrainRow& row : *split) {
      const size_t longer = std::max(row.ids.size(), row.rejected_ids.size());
      forecast.longest_row = std::max(forecast.longest_row, static_cast<int64_t>(longer));
    }
  }
  forecast.tokens = std::llround(step.tokens * static_cast<double>(forecast.steps));
  forecast.computed_tokens = std::llround(step.computed * static_cast<double>(forecast.steps));
  forecast.largest_pack = std::max(step.largest_pack, held_out.largest_pack);
  const bool evaluates = !validation.empty() && options.eval_every > 0;
  const int64_t evaluations =
      evaluates ? (forecast.steps + options.eval_every - 1) / options.eval_every : 0;
  const LoraLayout layout = PlannedLayout(model, config);
  const MemoryForecast memory =
      ForecastMemory(model, config, layout, {step.largest_pack, held_out.largest_pack}, options);
  forecast.peak_memory_bytes = memory.bytes;
  forecast.stored = memory.stored;
  forecast.recompute = memory.recompute;
  forecast.work = WorkOf(model, config, layout, step, held_out, forecast.steps, evaluations,
                         workers, memory.recompute);
  return forecast;
}

}  // namespace crossover::llm
