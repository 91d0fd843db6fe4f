#include "services/evaluation/module.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/id/uuid7.h"
#include "services/evaluation/clients/channels.h"
#include "services/evaluation/clients/fact_source.h"
#include "services/evaluation/clients/row_source.h"
#include "services/evaluation/clients/system_runner.h"
#include "services/evaluation/domain/documents.h"
#include "services/evaluation/domain/run_executor.h"
#include "services/evaluation/storage/pg_store.h"
#include "services/evaluation/transport/run_watcher.h"
#include "services/evaluation/transport/services.h"

namespace crossover::evaluation {

struct Module::Impl {
  Impl(Options given, Deps borrowed)
      : options(std::move(given)),
        deps(std::move(borrowed)),
        channels{deps.prompts, deps.curation, deps.inference, options.api_key},
        answers(deps.registry.NewCounterFamily("crossover_evaluation_answers_total",
                                               "Answers by outcome: ok, error, reused.")),
        verdicts(deps.registry.NewCounterFamily("crossover_evaluation_decisions",
                                                "Verdicts by recommendation.")),
        failures(deps.registry.NewCounterFamily("crossover_evaluation_background_errors_total",
                                                "Errors of background work, by activity.")),
        ids(deps.clock, deps.random),
        store(NewPgStore(deps.pool)),
        runner(NewSystemRunner(channels, deps.clock, {.timeout = options.answer_timeout})),
        rows(NewRowSource(channels, deps.blobs, options.scratch)),
        facts(NewFactSource(channels, *rows)),
        suites(*store, *rows, deps.clock),
        runs(*store, *runner, *facts, deps.clock, ids),
        ladders(*store, runs, *facts, deps.clock, ids),
        decisions(*store, runs, *facts, deps.clock, ids,
                  [this](const char* recommendation) {
                    verdicts.With({{"recommendation", recommendation}}).Increment();
                  }),
        executor(*store, *runner, deps.clock, {.claim_ttl = options.claim_ttl},
                 [this](const char* outcome) { answers.With({{"outcome", outcome}}).Increment(); }),
        watcher(*store) {
    ServiceContext context{*store,     suites,      runs,          ladders,           decisions,
                           deps.clock, deps.logger, deps.registry, deps.authenticator};
    services.push_back(NewSuiteService(context));
    services.push_back(NewEvaluationService(context, watcher));
    services.push_back(NewLadderService(context));
    services.push_back(NewDecisionService(context));
  }

  // Waits for the next look; false when the module drains.
  bool Wait() {
    std::unique_lock<std::mutex> lock(mutex);
    return !wake.wait_for(lock, absl::ToChronoMilliseconds(options.poll_interval),
                          [this] { return stopping.load(); });
  }

  void Report(const char* activity, const absl::Status& status) {
    failures.With({{"activity", activity}}).Increment();
    deps.logger.Error("background_error", {{"activity", activity}, {"status", status}});
  }

  void RunLoop(const std::string& owner) {
    while (!stopping) {
      absl::StatusOr<std::optional<Document>> claimed = store->ClaimRun(owner, options.claim_ttl);
      if (!claimed.ok()) Report("claim_run", claimed.status());
      if (!claimed.ok() || !*claimed) {
        if (!Wait()) return;
        continue;
      }
      absl::StatusOr<Run> run = FromDocument<Run>(**claimed);
      absl::Status done = run.ok() ? executor.Execute(*run, owner, stopping) : run.status();
      // The claim expires by itself; the run goes on where it stopped.
      if (!done.ok()) Report("execute_run", done);
    }
  }

  void LadderLoop() {
    do {
      absl::Status advanced = ladders.AdvanceAll();
      if (!advanced.ok()) Report("advance_ladders", advanced);
    } while (Wait());
  }

  const Options options;
  const Deps deps;
  const Channels channels;
  metrics::CounterFamily answers;
  metrics::CounterFamily verdicts;
  metrics::CounterFamily failures;
  UuidGenerator ids;
  std::unique_ptr<Store> store;
  std::unique_ptr<SystemRunner> runner;
  std::unique_ptr<RowSource> rows;
  std::unique_ptr<FactSource> facts;
  Suites suites;
  Runs runs;
  Ladders ladders;
  Decisions decisions;
  RunExecutor executor;
  RunWatcher watcher;
  std::vector<std::unique_ptr<grpc::Service>> services;

  std::atomic<bool> stopping = false;
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::thread> threads;
};

absl::StatusOr<std::unique_ptr<Module>> Module::Create(Options options, Deps deps) {
  return std::unique_ptr<Module>(
      new Module(std::make_unique<Impl>(std::move(options), std::move(deps))));
}

Module::Module(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Module::~Module() { Drain(); }

std::vector<grpc::Service*> Module::Services() {
  std::vector<grpc::Service*> services;
  for (const auto& service : impl_->services) services.push_back(service.get());
  return services;
}

absl::Status Module::Start() {
  std::string process = impl_->ids.NextId();
  for (int i = 0; i < impl_->options.runners; ++i) {
    impl_->threads.emplace_back(
        [this, owner = absl::StrCat(process, "-", i)] { impl_->RunLoop(owner); });
  }
  impl_->threads.emplace_back([this] { impl_->LadderLoop(); });
  return absl::OkStatus();
}

void Module::Drain() {
  {
    std::lock_guard<std::mutex> lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  for (std::thread& thread : impl_->threads) thread.join();
  impl_->threads.clear();
  impl_->watcher.Stop();
}

absl::Status Module::Ready() { return impl_->deps.pool.Ping(); }

pg::SchemaMigrations Module::RequiredMigrations() { return EvaluationMigrations(); }

}  // namespace crossover::evaluation
