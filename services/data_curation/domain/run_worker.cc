#include "services/data_curation/domain/run_worker.h"

#include <chrono>
#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/insist.h"

namespace crossover::curation {
namespace {

// What is thrown below ends the run, not the process with everybody else's work: the next worker
// would throw it again.
absl::StatusOr<PipelineResult> RunGuarded(Pipeline& pipeline,
                                          const std::vector<PipelineInput>& inputs,
                                          const Recipe& recipe, const PipelineHooks& hooks) {
  try {
    return pipeline.Run(inputs, recipe, hooks);
  } catch (const std::exception& e) {
    return Error(absl::StatusCode::kInternal, "UNHANDLED_EXCEPTION",
                 absl::StrCat("unhandled exception: ", e.what()));
  }
}

}  // namespace

CurationMetrics::CurationMetrics(metrics::Registry& registry)
    : rows_(registry.NewCounterFamily("crossover_curation_rows_total",
                                      "Rows by stage, outcome and reason.")),
      seconds_(registry.NewHistogramFamily("crossover_curation_stage_seconds",
                                           "Time of a stage that was not cached.")) {}

void CurationMetrics::Count(const FunnelStep& step) {
  if (step.cached) return;
  rows_.With({{"stage", step.stage}, {"outcome", "kept"}, {"reason", ""}}).Increment(step.rows_out);
  for (const auto& [code, count] : step.dropped) {
    rows_.With({{"stage", step.stage}, {"outcome", "dropped"}, {"reason", code}}).Increment(count);
  }
  seconds_.With({{"stage", step.stage}}).Observe(absl::ToDoubleSeconds(step.duration));
}

RunWorker::RunWorker(RunWorkerOptions options, CurationStore& store, BlobStore& blobs,
                     Pipeline& pipeline, CurationMetrics& metrics, Clock& clock, Logger& logger)
    : options_(std::move(options)),
      store_(store),
      blobs_(blobs),
      pipeline_(pipeline),
      metrics_(metrics),
      clock_(clock),
      logger_(logger) {}

RunWorker::~RunWorker() { Stop(); }

void RunWorker::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void RunWorker::Stop() {
  stopping_ = true;
  Wake();
  if (thread_.joinable()) thread_.join();
}

void RunWorker::Wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  wake_.notify_all();
}

void RunWorker::Loop() {
  while (!stopping_) {
    const absl::StatusOr<bool> worked = RunOne();
    if (!worked.ok()) logger_.Error("curation_claim_failed", {{"error", worked.status()}});
    if (worked.value_or(false)) continue;
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, absl::ToChronoMilliseconds(options_.poll_every),
                   [this] { return woken_; });
    woken_ = false;
  }
}

absl::StatusOr<bool> RunWorker::RunOne() {
  const absl::Duration before = clock_.SteadyNow();
  ASSIGN_OR_RETURN(std::optional<RunRecord> run,
                   store_.ClaimRun(options_.name, options_.lease_ttl));
  if (!run.has_value()) return false;
  Process(*std::move(run), before);
  return true;
}

void RunWorker::Process(RunRecord run, absl::Duration claimed) {
  logger_.Info("curation_run_started",
               {{"run", run.id}, {"dataset", run.dataset}, {"epoch", run.lease_epoch}});
  absl::Duration renewed = claimed;
  absl::Duration tried = claimed;
  bool lost = false;
  PipelineHooks hooks;
  // A database that is away for a moment does not end the work: the lease decides. Once it has
  // ended, whoever comes first may go on with the run.
  hooks.cancelled = [&] {
    if (stopping_ || lost) return true;
    const absl::Duration now = clock_.SteadyNow();
    if (now - tried < options_.renew_every) return false;
    tried = now;
    const absl::Status status = store_.RenewRun(run, options_.lease_ttl);
    if (status.ok()) renewed = now;
    lost = HasReason(status, "LEASE_LOST") || clock_.SteadyNow() - renewed >= options_.lease_ttl;
    return lost;
  };
  hooks.on_step = [&](const FunnelStep& step) -> absl::Status {
    RETURN_IF_ERROR(Insist(clock_, hooks.cancelled, [&] { return store_.RecordStep(run, step); }));
    metrics_.Count(step);
    logger_.Info("curation_stage_finished", {{"run", run.id},
                                             {"stage", step.stage},
                                             {"rows_in", step.rows_in},
                                             {"rows_out", step.rows_out},
                                             {"cached", step.cached}});
    run.funnel.push_back(step);
    return absl::OkStatus();
  };
  std::vector<PipelineInput> inputs;
  for (const RunInput& input : run.inputs) inputs.push_back(input.resolved);
  const absl::StatusOr<PipelineResult> result =
      RunGuarded(pipeline_, inputs, run.resolved_recipe, hooks);
  if (lost || HasReason(result.status(), "LEASE_LOST")) {
    logger_.Warning("curation_run_lost", {{"run", run.id}, {"epoch", run.lease_epoch}});
    return;
  }
  const RunRecord ended = Ended(run, result.ok() ? Keep(run, *result) : result);
  const absl::Status finished =
      Insist(clock_, hooks.cancelled, [&] { return store_.FinishRun(ended); });
  if (!finished.ok()) {
    logger_.Error("curation_run_not_finished", {{"run", run.id}, {"error", finished}});
    return;
  }
  logger_.Info("curation_run_finished",
               {{"run", run.id}, {"state", Name(ended.state)}, {"reason", ended.state_reason}});
}

absl::StatusOr<PipelineResult> RunWorker::Keep(const RunRecord& run, PipelineResult result) {
  const std::string holder = absl::StrCat("curation/runs/", run.project, "/", run.id);
  RETURN_IF_ERROR(blobs_.Pin(result.rows_artifact, holder));
  RETURN_IF_ERROR(blobs_.Pin(result.states_digest, holder));
  return result;
}

RunRecord RunWorker::Ended(RunRecord run, const absl::StatusOr<PipelineResult>& result) const {
  if (result.ok()) {
    run.state = RunState::kSucceeded;
    run.funnel = result->funnel;
    run.rows_artifact = result->rows_artifact;
    run.states_digest = result->states_digest;
  } else if (stopping_ &&
             (absl::IsCancelled(result.status()) || absl::IsUnavailable(result.status()))) {
    run.state = RunState::kQueued;
    run.state_reason = "given back: the service is shutting down";
  } else {
    run.state = RunState::kFailed;
    run.state_reason = std::string(ToStd(result.status().message()));
    run.error_reason = DetailOf(result.status()).reason;
    if (run.error_reason.empty()) run.error_reason = "INTERNAL_ERROR";
  }
  return run;
}

}  // namespace crossover::curation
