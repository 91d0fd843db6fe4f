#include "services/training_scheduler/domain/scheduler_metrics.h"

#include <map>

namespace crossover::scheduler {

SchedulerMetrics::SchedulerMetrics(metrics::Registry& registry)
    : jobs_(registry.NewGaugeFamily("crossover_scheduler_jobs", "Jobs by state and queue.")),
      oldest_(registry.NewGaugeFamily("crossover_scheduler_queue_oldest_seconds",
                                      "How long the oldest ready job has waited.")),
      wait_(registry.NewHistogram("crossover_scheduler_job_wait_seconds",
                                  "Time from ready to leased.")),
      run_(registry.NewHistogramFamily("crossover_scheduler_job_run_seconds",
                                       "Time from the first lease to the end.")),
      lost_(registry.NewCounterFamily("crossover_scheduler_leases_lost_total",
                                      "Leases that ended without the worker's word.")),
      claim_(registry.NewHistogram("crossover_scheduler_lease_claim_seconds",
                                   "Time a claim that found a job took.")),
      failed_passes_(registry.NewCounter("crossover_scheduler_background_failures_total",
                                         "Background passes that ended with an error.")),
      webhooks_(registry.NewCounterFamily("crossover_scheduler_webhook_attempts_total",
                                          "Attempts to deliver a webhook, by outcome.")) {
  for (const char* outcome : {"delivered", "failed", "exhausted"}) {
    webhooks_.With({{"outcome", outcome}});
  }
  for (const char* cause : {"expired", "crashed"}) lost_.With({{"cause", cause}});
  SetDepths({{JobState::kQueued, "default", 0, absl::ZeroDuration()},
             {JobState::kRunning, "default", 0, absl::ZeroDuration()}});
}

void SchedulerMetrics::Claimed(const Job& job, absl::Duration claim_time) {
  claim_.Observe(absl::ToDoubleSeconds(claim_time));
  if (job.ready_time.has_value() && job.lease.has_value()) {
    wait_.Observe(absl::ToDoubleSeconds(job.lease->grant_time - *job.ready_time));
  }
}

void SchedulerMetrics::Ended(const Job& job) {
  if (!job.run_time.has_value() || !job.finish_time.has_value()) return;
  run_.With({{"kind", std::string(Name(job.kind))}})
      .Observe(absl::ToDoubleSeconds(*job.finish_time - *job.run_time));
}

void SchedulerMetrics::LeaseLost(const char* cause) { lost_.With({{"cause", cause}}).Increment(); }

void SchedulerMetrics::WebhookTried(DeliveryState state) {
  const char* outcome = state == DeliveryState::kDelivered   ? "delivered"
                        : state == DeliveryState::kExhausted ? "exhausted"
                                                             : "failed";
  webhooks_.With({{"outcome", outcome}}).Increment();
}

void SchedulerMetrics::PassFailed() { failed_passes_.Increment(); }

void SchedulerMetrics::SetDepths(const std::vector<QueueDepth>& depths) {
  std::map<std::pair<std::string, std::string>, double> jobs;
  std::map<std::string, double> oldest;
  for (const auto& key : seen_) {
    jobs[key] = 0;
    oldest[key.second] = 0;
  }
  for (const QueueDepth& depth : depths) {
    jobs[{std::string(Name(depth.state)), depth.queue}] = static_cast<double>(depth.jobs);
    if (depth.state == JobState::kQueued) oldest[depth.queue] = absl::ToDoubleSeconds(depth.oldest);
  }
  for (const auto& [key, count] : jobs) {
    jobs_.With({{"state", key.first}, {"queue", key.second}}).Set(count);
    seen_.insert(key);
  }
  for (const auto& [queue, seconds] : oldest) oldest_.With({{"queue", queue}}).Set(seconds);
}

}  // namespace crossover::scheduler
