// Takes queued runs through their recipe, one after another, on a thread of its own. Any number of
// workers may share a store; a run whose worker was killed is taken over when its lease ends and
// goes on after the last finished step. A store that is UNAVAILABLE is asked again as long as the
// lease lasts.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "common/blob/blob_store.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/time/clock.h"
#include "services/data_curation/domain/curation_store.h"
#include "services/data_curation/domain/pipeline.h"

namespace crossover::curation {

struct RunWorkerOptions {
  std::string name = "curation";
  absl::Duration lease_ttl =
      absl::Minutes(2);  // covers the longest time between two renewals, hashing included
  absl::Duration renew_every = absl::Seconds(2);  // also how soon a cancellation is noticed
  absl::Duration poll_every = absl::Seconds(1);
};

// crossover_curation_rows_total{stage,outcome,reason}, crossover_curation_stage_seconds{stage}.
class CurationMetrics {
 public:
  explicit CurationMetrics(metrics::Registry& registry);
  void Count(const FunnelStep& step);

 private:
  metrics::CounterFamily rows_;
  metrics::HistogramFamily seconds_;
};

// Borrows everything.
class RunWorker {
 public:
  RunWorker(RunWorkerOptions options, CurationStore& store, BlobStore& blobs, Pipeline& pipeline,
            CurationMetrics& metrics, Clock& clock, Logger& logger);
  ~RunWorker();  // Stop()

  void Start();
  // Gives a run in progress back to the queue and joins the thread. Idempotent.
  void Stop();
  // There may be work.
  void Wake();

  // Claims and finishes one run on the calling thread; false if there was none. For Start's thread
  // and for tests.
  absl::StatusOr<bool> RunOne();

 private:
  void Loop();
  // `claimed`: steady time before the claim.
  void Process(RunRecord run, absl::Duration claimed);
  // Pins what the run made, for the run.
  absl::StatusOr<PipelineResult> Keep(const RunRecord& run, PipelineResult result);
  // The record of a run that came to this.
  RunRecord Ended(RunRecord run, const absl::StatusOr<PipelineResult>& result) const;

  const RunWorkerOptions options_;
  CurationStore& store_;
  BlobStore& blobs_;
  Pipeline& pipeline_;
  CurationMetrics& metrics_;
  Clock& clock_;
  Logger& logger_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace crossover::curation
