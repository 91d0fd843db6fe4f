#include "services/data_curation/module.h"

#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/id/uuid7.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/file_manager.h"
#include "services/data_curation/domain/row_reader.h"
#include "services/data_curation/domain/run_manager.h"
#include "services/data_curation/domain/run_worker.h"
#include "services/data_curation/storage/pg_curation_store.h"
#include "services/data_curation/transport/curation_service.h"
#include "services/data_curation/transport/dataset_service.h"
#include "services/data_curation/transport/file_service.h"

namespace crossover::curation {
namespace {

namespace fs = std::filesystem;

rpc::HandlerOptions HandlerFor(const char* service, const Options& options, const Deps& deps) {
  return {.service = service, .threads = options.rpc_threads, .authenticator = deps.authenticator};
}

// Scratch of a process that was killed is worth nothing: results live in the blob store.
absl::Status PrepareFolders(const Options& options) {
  std::error_code error;
  fs::remove_all(options.work_folder / "scratch", error);
  if (!error) fs::create_directories(options.work_folder / "scratch", error);
  if (!error) return absl::OkStatus();
  return Error(
      absl::StatusCode::kUnavailable, "FILE_WRITE_FAILED",
      absl::StrCat("cannot prepare ", options.work_folder.string(), ": ", error.message()));
}

}  // namespace

// Declared in the order of construction: what comes later borrows what came before.
struct Module::Impl {
  Impl(const Options& options, const Deps& deps)
      : deps(deps),
        store(deps.pool),
        ids(deps.clock, deps.random),
        pipeline(deps.blobs, store, catalogue, deps.clock, options.work_folder / "scratch"),
        metrics(deps.registry),
        files(
            {.upload_folder = options.work_folder / "uploads", .max_bytes = options.max_file_bytes},
            store, deps.blobs, ids),
        runs(store, deps.blobs, catalogue, ids, options.work_folder / "scratch"),
        rows(deps.blobs, options.work_folder / "scratch"),
        watch(store, deps.clock),
        adapters(deps.scheduler),
        file_handler(HandlerFor("crossover.curation.v1.FileService", options, deps), deps.clock,
                     deps.logger, deps.registry),
        dataset_handler(HandlerFor("crossover.curation.v1.DatasetService", options, deps),
                        deps.clock, deps.logger, deps.registry),
        curation_handler(HandlerFor("crossover.curation.v1.CurationService", options, deps),
                         deps.clock, deps.logger, deps.registry),
        file_service(file_handler, files, store, deps.blobs),
        dataset_service(dataset_handler, store, runs, rows, deps.blobs, adapters, ids),
        curation_service(curation_handler, store, runs, watch) {
    for (int i = 0; i < options.run_threads; ++i) {
      workers.push_back(std::make_unique<RunWorker>(
          RunWorkerOptions{.name = deps.random.Hex(8), .lease_ttl = options.run_lease_ttl}, store,
          deps.blobs, pipeline, metrics, deps.clock, deps.logger));
    }
    runs.OnQueued([this] {
      for (const auto& worker : workers) worker->Wake();
    });
  }

  Deps deps;
  PgCurationStore store;
  UuidGenerator ids;
  StageCatalogue catalogue;
  Pipeline pipeline;
  CurationMetrics metrics;
  FileManager files;
  RunManager runs;
  RowReader rows;
  RunWatch watch;
  AdapterCatalogue adapters;
  std::vector<std::unique_ptr<RunWorker>> workers;
  rpc::Handler file_handler;
  rpc::Handler dataset_handler;
  rpc::Handler curation_handler;
  FileServiceImpl file_service;
  DatasetServiceImpl dataset_service;
  CurationServiceImpl curation_service;
};

pg::SchemaMigrations Module::RequiredMigrations() { return PgCurationStore::RequiredMigrations(); }

absl::StatusOr<std::unique_ptr<Module>> Module::Create(Options options, Deps deps) {
  RETURN_IF_ERROR(pg::VerifyMigrations(deps.pool.options().dsn, RequiredMigrations()));
  RETURN_IF_ERROR(PrepareFolders(options));
  return std::unique_ptr<Module>(new Module(std::make_unique<Impl>(options, deps)));
}

Module::Module(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Module::~Module() { Drain(); }

std::vector<grpc::Service*> Module::Services() {
  return {&impl_->file_service, &impl_->dataset_service, &impl_->curation_service};
}

absl::Status Module::Start() {
  impl_->watch.Start();
  for (const auto& worker : impl_->workers) worker->Start();
  return absl::OkStatus();
}

void Module::Drain() {
  for (const auto& worker : impl_->workers) worker->Stop();
  impl_->watch.Stop();
}

absl::Status Module::Ready() { return impl_->deps.pool.Ping(); }

}  // namespace crossover::curation
