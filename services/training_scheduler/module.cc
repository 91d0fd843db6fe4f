#include "services/training_scheduler/module.h"

#include <atomic>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/id/uuid7.h"
#include "common/pg/listener.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/housekeeper.h"
#include "services/training_scheduler/domain/lease_queue.h"
#include "services/training_scheduler/domain/leasing.h"
#include "services/training_scheduler/domain/model_registry.h"
#include "services/training_scheduler/domain/pipeline_runner.h"
#include "services/training_scheduler/domain/pipeline_watch.h"
#include "services/training_scheduler/domain/planner.h"
#include "services/training_scheduler/domain/scheduler.h"
#include "services/training_scheduler/domain/scheduler_metrics.h"
#include "services/training_scheduler/domain/ticker.h"
#include "services/training_scheduler/domain/watch_hub.h"
#include "services/training_scheduler/domain/webhook_deliverer.h"
#include "services/training_scheduler/forecast/llm_forecaster.h"
#include "services/training_scheduler/model_files/llm_adapter_forms.h"
#include "services/training_scheduler/model_files/llm_model_files.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/pg_job_store.h"
#include "services/training_scheduler/storage/pg_model_store.h"
#include "services/training_scheduler/storage/pg_pipeline_store.h"
#include "services/training_scheduler/storage/pg_webhook_store.h"
#include "services/training_scheduler/transport/curation_catalog.h"
#include "services/training_scheduler/transport/http_webhook_sender.h"
#include "services/training_scheduler/transport/job_service.h"
#include "services/training_scheduler/transport/job_steps.h"
#include "services/training_scheduler/transport/lease_service.h"
#include "services/training_scheduler/transport/model_service.h"
#include "services/training_scheduler/transport/pipeline_service.h"
#include "services/training_scheduler/transport/remote_steps.h"
#include "services/training_scheduler/transport/webhook_service.h"

namespace crossover::scheduler {
namespace {

// A receiver that takes its time keeps one of these busy.
constexpr int kWebhookThreads = 4;
// Between two looks at what a pipeline's step has created.
constexpr absl::Duration kPipelinePause = absl::Seconds(2);

std::unique_ptr<rpc::Handler> NewHandler(const char* service, int threads, const Deps& deps) {
  return std::make_unique<rpc::Handler>(
      rpc::HandlerOptions{
          .service = service, .threads = threads, .authenticator = deps.authenticator},
      deps.clock, deps.logger, deps.registry);
}

Retention RetentionOf(const Options& options) {
  Retention retention;
  if (options.job_retention > absl::ZeroDuration()) retention.jobs = options.job_retention;
  return retention;
}

// INVALID_ARGUMENT CONFIG_INVALID names the entry that is not PROJECT=N.
absl::Status WriteQuotas(const std::vector<std::string>& quotas, JobStore& jobs) {
  for (const std::string& entry : quotas) {
    const std::pair<std::string, std::string> quota =
        absl::StrSplit(entry, absl::MaxSplits('=', 1));
    int32_t leases = 0;
    const bool none = quota.second.empty() && entry.ends_with('=');
    if (quota.first.empty() ||
        (!none && (!absl::SimpleAtoi(quota.second, &leases) || leases < 0))) {
      return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                   absl::StrCat("project-quotas has '", entry,
                                "'; PROJECT=N with N of at least 0, or PROJECT= for no quota"));
    }
    RETURN_IF_ERROR(
        jobs.SetQuota(quota.first, none ? std::nullopt : std::optional<int32_t>(leases)));
  }
  return absl::OkStatus();
}

absl::Status CheckPrice(double device_hour_usd) {
  if (std::isfinite(device_hour_usd) && device_hour_usd >= 0) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
               absl::StrCat("device-hour-price is ", device_hour_usd,
                            "; must be USD of at least 0, and 0 if it is not known"));
}

}  // namespace

// Declared in the order of construction: what comes later borrows what came before.
struct Module::Impl {
  Impl(const Options& options, const Deps& deps)
      : deps(deps),
        catalog(deps.curation),
        metrics(deps.registry),
        models(deps.pool),
        jobs(deps.pool, deps.logger, [this] { notifier.Wake(); }),
        ids(deps.clock, deps.random),
        forecaster(deps.blobs),
        adapter_forms(deps.blobs),
        planner(jobs, models, catalog, deps.clock, &forecaster, options.device_hour_usd,
                &adapter_forms),
        scheduler(jobs, planner, ids),
        leasing(jobs, deps.random, deps.clock, metrics,
                {.ttl = options.lease_ttl,
                 .heartbeat_interval = options.heartbeat_interval,
                 .retry = {},
                 .device_hour_usd = options.device_hour_usd},
                &deps.blobs),
        lease_queue(leasing, deps.clock),
        watchers(jobs, deps.clock),
        registry(models, deps.blobs, files, options.package_folders),
        webhooks(deps.pool),
        webhook_sender(options.private_webhooks),
        deliverer(webhooks, webhook_sender, deps.clock, deps.random, metrics),
        pipelines(deps.pool),
        housekeeper(jobs, scheduler, leasing, metrics, deps.clock, RetentionOf(options),
                    {.webhooks = &webhooks, .pipelines = &pipelines}),
        pipeline_watchers(pipelines, deps.clock),
        job_steps(scheduler, false),
        export_steps(scheduler, true),
        curation_steps(deps.curation),
        evaluation_steps(deps.evaluation == nullptr
                             ? nullptr
                             : std::make_unique<EvaluationSteps>(deps.evaluation)),
        pipeline_runner(pipelines, Steps(), kPipelinePause),
        notifier([this] { return Notify(); }, PgJobStore::kNotifyGap),
        lease_ticker([this] { return PumpLeases(); }, absl::Milliseconds(10)),
        watch_ticker([this] { return PumpWatchers(); }, absl::Milliseconds(100)),
        house_ticker(
            [this, interval = options.housekeeping_interval] { return KeepHouse(interval); },
            absl::Milliseconds(200)),
        pipeline_ticker([this] { return RunPipelines(); }, absl::Milliseconds(50)),
        job_handler(NewHandler("crossover.scheduler.v1.JobService", options.rpc_threads, deps)),
        lease_handler(
            NewHandler("crossover.scheduler.v1.LeaseService", options.lease_threads, deps)),
        model_handler(NewHandler("crossover.scheduler.v1.ModelService", options.rpc_threads, deps)),
        pipeline_handler(NewHandler("crossover.scheduler.v1.PipelineService", 2, deps)),
        webhook_handler(NewHandler("crossover.scheduler.v1.WebhookService", 2, deps)),
        job_service(*job_handler, scheduler, jobs, watchers, [this] { watch_ticker.Wake(); }),
        lease_service(*lease_handler, leasing, lease_queue, deps.logger,
                      [this] { lease_ticker.Wake(); }),
        model_service(*model_handler, registry, models, scheduler, jobs, deps.blobs),
        pipeline_service(
            *pipeline_handler, pipelines, Steps(), ids, pipeline_watchers,
            [this] { pipeline_ticker.Wake(); }, [this] { watch_ticker.Wake(); }),
        webhook_service(*webhook_handler, webhooks, ids, deps.random,
                        [this] { WakeDeliverers(); }) {
    for (int i = 0; i < kWebhookThreads; ++i) {
      deliverers.push_back(
          std::make_unique<Ticker>([this] { return DeliverWebhooks(); }, absl::Milliseconds(50)));
    }
  }

  // Handlers go first: each waits for calls that still run, and those use services and tickers.
  ~Impl() {
    for (auto* handler :
         {&job_handler, &lease_handler, &model_handler, &pipeline_handler, &webhook_handler}) {
      handler->reset();
    }
  }

  absl::Duration Notify() {
    Report("notify", jobs.FlushNotify());
    return absl::Hours(1);
  }

  // NOTIFY is a hint; these waits are how long a lost one may cost, jittered so that schedulers do
  // not poll in step.
  absl::Duration PumpLeases() {
    const absl::Duration next = lease_queue.Pump();
    return std::min(next, absl::Seconds(1 + 4 * deps.random.Uniform()));
  }

  absl::Duration PumpWatchers() {
    const bool of_jobs = watchers.Pump(), of_pipelines = pipeline_watchers.Pump();
    return of_jobs || of_pipelines ? absl::Milliseconds(500) : absl::Seconds(5);
  }

  absl::Duration KeepHouse(absl::Duration interval) {
    Report("housekeeping", housekeeper.Pass());
    return interval;
  }

  // Whatever is due; several threads and schedulers do so at once.
  absl::Duration DeliverWebhooks() {
    while (!draining) {
      const absl::StatusOr<bool> delivered = deliverer.DeliverOne();
      Report("webhooks", delivered.status());
      if (!delivered.ok() || !*delivered) break;
    }
    return absl::Seconds(1 + 4 * deps.random.Uniform());
  }

  StepServices Steps() {
    StepServices steps = {{StepKind::kJob, &job_steps},
                          {StepKind::kExport, &export_steps},
                          {StepKind::kCurationRun, &curation_steps}};
    if (evaluation_steps != nullptr) steps[StepKind::kEvaluationRun] = evaluation_steps.get();
    return steps;
  }

  absl::Duration RunPipelines() {
    while (!draining) {
      const absl::StatusOr<bool> ran = pipeline_runner.RunOne();
      Report("pipelines", ran.status());
      if (!ran.ok() || !*ran) break;
    }
    return kPipelinePause;
  }

  void WakeDeliverers() {
    for (const auto& ticker : deliverers) ticker->Wake();
  }

  void Report(const char* pass, const absl::Status& status) {
    if (status.ok()) return;
    metrics.PassFailed();
    deps.logger.Warning("background_pass_failed", {{"pass", pass}, {"error", status}});
  }

  Deps deps;
  CurationCatalog catalog;
  SchedulerMetrics metrics;
  PgModelStore models;
  PgJobStore jobs;
  UuidGenerator ids;
  LlmForecaster forecaster;
  LlmAdapterForms adapter_forms;
  Planner planner;
  Scheduler scheduler;
  Leasing leasing;
  LeaseQueue lease_queue;
  WatchHub watchers;
  LlmModelFiles files;
  ModelRegistry registry;
  PgWebhookStore webhooks;
  HttpWebhookSender webhook_sender;
  WebhookDeliverer deliverer;
  PgPipelineStore pipelines;
  Housekeeper housekeeper;
  PipelineWatchHub pipeline_watchers;
  JobSteps job_steps;
  JobSteps export_steps;
  CurationSteps curation_steps;
  std::unique_ptr<EvaluationSteps> evaluation_steps;
  PipelineRunner pipeline_runner;
  std::atomic<bool> draining = false;
  Ticker notifier;
  Ticker lease_ticker;
  Ticker watch_ticker;
  Ticker house_ticker;
  Ticker pipeline_ticker;
  std::vector<std::unique_ptr<Ticker>> deliverers;
  std::unique_ptr<rpc::Handler> job_handler;
  std::unique_ptr<rpc::Handler> lease_handler;
  std::unique_ptr<rpc::Handler> model_handler;
  std::unique_ptr<rpc::Handler> pipeline_handler;
  std::unique_ptr<rpc::Handler> webhook_handler;
  JobServiceImpl job_service;
  LeaseServiceImpl lease_service;
  ModelServiceImpl model_service;
  PipelineServiceImpl pipeline_service;
  WebhookServiceImpl webhook_service;
  std::unique_ptr<pg::Listener> listener;
};

pg::SchemaMigrations Module::RequiredMigrations() { return Migrations(); }

absl::StatusOr<std::unique_ptr<Module>> Module::Create(Options options, Deps deps) {
  RETURN_IF_ERROR(pg::VerifyMigrations(deps.pool.options().dsn, Migrations()));
  RETURN_IF_ERROR(CheckPrice(options.device_hour_usd));
  auto impl = std::make_unique<Impl>(options, deps);
  RETURN_IF_ERROR(WriteQuotas(options.project_quotas, impl->jobs));
  return std::unique_ptr<Module>(new Module(std::move(impl)));
}

Module::Module(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Module::~Module() { Drain(); }

std::vector<grpc::Service*> Module::Services() {
  return {&impl_->job_service, &impl_->lease_service, &impl_->model_service,
          &impl_->pipeline_service, &impl_->webhook_service};
}

absl::Status Module::Start() {
  Impl& impl = *impl_;
  impl.notifier.Start();
  impl.lease_ticker.Start();
  impl.watch_ticker.Start();
  impl.house_ticker.Start();
  impl.pipeline_ticker.Start();
  for (const auto& ticker : impl.deliverers) ticker->Start();
  impl.listener = pg::Listener::Start(
      {.dsn = impl.deps.pool.options().dsn, .channels = {"crossover_job"}},
      [&impl](std::string_view, std::string_view) {
        impl.lease_ticker.Wake();
        impl.watch_ticker.Wake();
        impl.WakeDeliverers();
      },
      impl.deps.logger);
  return absl::OkStatus();
}

void Module::Drain() {
  Impl& impl = *impl_;
  impl.listener.reset();
  impl.lease_queue.Close();
  impl.watchers.Close();
  impl.pipeline_watchers.Close();
  impl.draining = true;
  impl.house_ticker.Stop();
  impl.pipeline_ticker.Stop();
  for (const auto& ticker : impl.deliverers) ticker->Stop();
  impl.watch_ticker.Stop();
  impl.lease_ticker.Stop();
  impl.notifier.Stop();
}

absl::Status Module::Ready() { return impl_->deps.pool.Ping(); }

}  // namespace crossover::scheduler
