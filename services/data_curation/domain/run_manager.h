// Creates and seals runs. The work itself is RunWorker's.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/blob/blob_store.h"
#include "common/id/uuid7.h"
#include "services/data_curation/domain/curation_store.h"
#include "services/data_curation/domain/report.h"

namespace crossover::curation {

// Thread-safe. Borrows everything.
class RunManager {
 public:
  RunManager(CurationStore& store, BlobStore& blobs, const StageCatalogue& catalogue,
             UuidGenerator& ids, std::filesystem::path scratch);

  // Called after each run that was queued.
  void OnQueued(std::function<void()> callback) { on_queued_ = std::move(callback); }

  // `run` has project, dataset, labels, inputs (source and split) and recipe. Resolves inputs and
  // recipe; stores it unless `validate_only`. InvalidArgument RECIPE_INVALID, FIELD_REQUIRED;
  // FailedPrecondition FILE_NOT_READY; Unimplemented NOT_IMPLEMENTED for sources that cannot be
  // read yet.
  absl::StatusOr<RunRecord> Create(RunRecord run, const RequestKey& key, bool validate_only);
  absl::StatusOr<RunRecord> Resume(const std::string& project, const std::string& id);

  struct SealRequest {
    std::string project;
    std::string dataset;
    std::string run;
    std::string parent;  // digest of the version it goes on from
    Labels labels;
    bool validate_only = false;
  };
  // FailedPrecondition RUN_NOT_SUCCEEDED, TOO_FEW_ROWS. Equal rows, recipe, sources and licence
  // give the stored version; a repeat of `key` gives the version it made, whatever was forgotten
  // since.
  absl::StatusOr<VersionRecord> Seal(const SealRequest& request, const RequestKey& key);

  // The report of a run that SUCCEEDED.
  absl::StatusOr<Report> ReportOf(const RunRecord& run);

 private:
  absl::StatusOr<PipelineInput> Resolve(const std::string& project, const RunInput& input,
                                        int64_t& rows);
  absl::StatusOr<VersionRecord> Describe(const SealRequest& request, const RunRecord& run,
                                         const SealedRows& sealed);

  CurationStore& store_;
  BlobStore& blobs_;
  const StageCatalogue& catalogue_;
  UuidGenerator& ids_;
  const std::filesystem::path scratch_;
  std::function<void()> on_queued_;
};

// Rows and states of a run that SUCCEEDED; FailedPrecondition RUN_NOT_SUCCEEDED otherwise.
struct RunRows {
  std::unique_ptr<RowTable> rows;
  RowStates states;
};
absl::StatusOr<RunRows> OpenRun(BlobStore& blobs, const RunRecord& run);

}  // namespace crossover::curation
