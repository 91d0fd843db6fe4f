#include "services/model_server/transport/metrics.h"

#include <map>

namespace crossover::inference {
namespace {

std::string OutcomeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return "ok";
    case absl::StatusCode::kCancelled:
      return "cancelled";
    case absl::StatusCode::kResourceExhausted:
      return "refused";
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
      return "invalid";
    default:
      return "failed";
  }
}

}  // namespace

InferenceMetrics::InferenceMetrics(metrics::Registry& registry)
    : requests_(
          registry.NewCounterFamily("crossover_inference_requests_total", "Requests by outcome")),
      first_token_(registry.NewHistogram("crossover_inference_ttft_seconds",
                                         "Time to the first token, waiting included")),
      tokens_(registry.NewCounterFamily("crossover_inference_tokens_total",
                                        "Tokens of prompts and answers")),
      prefix_hits_(registry.NewCounter("crossover_inference_prefix_hit_tokens_total",
                                       "Prompt tokens taken from the prefix cache")),
      batch_rows_(
          registry.NewGauge("crossover_inference_batch_rows", "Sequences computed together now")),
      queue_calls_(registry.NewGauge("crossover_inference_queue_calls",
                                     "Calls that wait to be computed; max-queue bounds them")),
      stall_(registry.NewGauge("crossover_inference_stall_seconds",
                               "For how long a batch has had work and made no progress")),
      cache_bytes_(
          registry.NewGaugeFamily("crossover_inference_kv_bytes", "Keys and values in memory")),
      adapters_(registry.NewGaugeFamily("crossover_inference_adapters", "Adapters by state")),
      preemptions_(registry.NewCounter("crossover_inference_preemptions_total",
                                       "Times that a request was put back into the queue for want "
                                       "of memory for keys and values")),
      drafts_(registry.NewCounterFamily("crossover_inference_draft_tokens_total",
                                        "Tokens guessed ahead, by whether they came true")) {
  // There from the start, so that rates are.
  drafts_.With({{"outcome", "accepted"}});
  drafts_.With({{"outcome", "rejected"}});
}

// The sum falls when a base leaves memory with its engine; a counter may not.
void InferenceMetrics::Growth::Add(int64_t sum, metrics::Counter counter) {
  if (sum > last_) counter.Increment(static_cast<double>(sum - last_));
  last_ = sum;
}

void InferenceMetrics::OnRequest(const absl::Status& outcome, const AnswerSummary& summary) {
  Count(outcome, summary.usage);
  if (outcome.ok()) first_token_.Observe(absl::ToDoubleSeconds(summary.timing.first_token));
}

void InferenceMetrics::OnScore(const absl::Status& outcome, const TokenUsage& usage) {
  Count(outcome, usage);
}

void InferenceMetrics::Count(const absl::Status& outcome, const TokenUsage& usage) {
  requests_.With({{"outcome", OutcomeOf(outcome)}}).Increment();
  if (!outcome.ok()) return;
  tokens_.With({{"kind", "input"}}).Increment(static_cast<double>(usage.input));
  tokens_.With({{"kind", "output"}}).Increment(static_cast<double>(usage.output));
  prefix_hits_.Increment(static_cast<double>(usage.cached_input));
}

void InferenceMetrics::Refresh(const LoadedModels& models) {
  const std::lock_guard lock(mutex_);
  const llm::EngineStats stats = models.Stats();
  batch_rows_.Set(static_cast<double>(stats.running));
  queue_calls_.Set(static_cast<double>(stats.queued));
  stall_.Set(stats.stalled_seconds);
  cache_bytes_.With({{"state", "running"}}).Set(static_cast<double>(stats.kv_bytes_running));
  cache_bytes_.With({{"state", "cached"}}).Set(static_cast<double>(stats.kv_bytes_cached));
  std::map<ModelState, int> count;
  for (const ModelInfo& info : models.List()) count[info.state] += info.kind == ModelKind::kAdapter;
  adapters_.With({{"state", "loading"}}).Set(count[ModelState::kLoading]);
  adapters_.With({{"state", "ready"}}).Set(count[ModelState::kReady]);
  adapters_.With({{"state", "unloading"}}).Set(count[ModelState::kUnloading]);
  preemptions_seen_.Add(stats.preemptions_total, preemptions_);
  accepted_seen_.Add(stats.accepted_drafts_total, drafts_.With({{"outcome", "accepted"}}));
  rejected_seen_.Add(stats.drafted_tokens_total - stats.accepted_drafts_total,
                     drafts_.With({{"outcome", "rejected"}}));
}

}  // namespace crossover::inference
