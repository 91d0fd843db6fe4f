// Where curation's records live. Thread-safe. Implementations: PgCurationStore, FakeCurationStore;
// both pass curation_store_conformance_test.
//
// Errors: NotFound RESOURCE_NOT_FOUND, AlreadyExists RESOURCE_EXISTS, Aborted ETAG_MISMATCH (the
// record's revision is not the stored one), InvalidArgument REQUEST_ID_REUSED. The store sets
// create_time, update_time and revision.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/id/request_id.h"
#include "services/data_curation/domain/records.h"

namespace crossover::curation {

// A page of a list, newest first: `after` is the position of the last item seen ("" = from the
// newest).
struct PageQuery {
  std::string project;
  std::string parent;  // data set, or "-" for all
  std::string after;
  int limit = 50;
};

template <typename Record>
struct Page {
  std::vector<Record> records;
  std::vector<std::string> positions;  // one a record, for `after`
};

class CurationStore : public StepCache {
 public:
  // What an earlier request with this key made: a file's, run's or tombstone's id, a data set's
  // name, DATASET/DIGEST of a version. "" if there was none.
  virtual absl::StatusOr<std::string> MadeBy(const std::string& project, const RequestKey& key) = 0;

  // --- Files
  virtual absl::StatusOr<FileRecord> CreateFile(const FileRecord& file, const RequestKey& key) = 0;
  virtual absl::StatusOr<FileRecord> GetFile(const std::string& project, const std::string& id) = 0;
  virtual absl::StatusOr<Page<FileRecord>> ListFiles(const PageQuery& query) = 0;
  virtual absl::StatusOr<FileRecord> UpdateFile(const FileRecord& file) = 0;
  virtual absl::Status DeleteFile(const std::string& project, const std::string& id) = 0;
  // Replaces the file's problems.
  virtual absl::Status PutProblems(const std::string& project, const std::string& id,
                                   const std::vector<Problem>& problems) = 0;
  // Problems from index `from`, in order of line.
  virtual absl::StatusOr<std::vector<Problem>> ListProblems(const std::string& project,
                                                            const std::string& id, int64_t from,
                                                            int limit) = 0;

  // --- Data sets
  virtual absl::StatusOr<DatasetRecord> CreateDataset(const DatasetRecord& dataset,
                                                      const RequestKey& key) = 0;
  virtual absl::StatusOr<DatasetRecord> GetDataset(const std::string& project,
                                                   const std::string& id) = 0;
  virtual absl::StatusOr<Page<DatasetRecord>> ListDatasets(const PageQuery& query) = 0;
  virtual absl::StatusOr<DatasetRecord> UpdateDataset(const DatasetRecord& dataset) = 0;
  // With its runs. FailedPrecondition RESOURCE_IN_USE while it has versions.
  virtual absl::Status DeleteDataset(const std::string& project, const std::string& id) = 0;

  // --- Runs
  virtual absl::StatusOr<RunRecord> CreateRun(const RunRecord& run, const RequestKey& key) = 0;
  virtual absl::StatusOr<RunRecord> GetRun(const std::string& project, const std::string& id) = 0;
  virtual absl::StatusOr<Page<RunRecord>> ListRuns(const PageQuery& query) = 0;
  // QUEUED or RUNNING -> CANCELLED. FailedPrecondition STATE_INVALID otherwise; a CANCELLED run is
  // returned as it is.
  virtual absl::StatusOr<RunRecord> CancelRun(const std::string& project,
                                              const std::string& id) = 0;
  // FAILED or CANCELLED -> QUEUED. FailedPrecondition STATE_INVALID otherwise.
  virtual absl::StatusOr<RunRecord> ResumeRun(const std::string& project,
                                              const std::string& id) = 0;

  // The oldest run that is QUEUED, or RUNNING under a lease that expired or is this worker's (it
  // asks, so it works on none), now RUNNING with a new lease_epoch; nullopt if none.
  virtual absl::StatusOr<std::optional<RunRecord>> ClaimRun(const std::string& worker,
                                                            absl::Duration ttl) = 0;
  // These carry the epoch of the claim. Aborted LEASE_LOST if another worker has the run or it is
  // over: stop, publish nothing.
  virtual absl::Status RenewRun(const RunRecord& run, absl::Duration ttl) = 0;
  // `run.funnel` holds the steps before this one; a repeat changes nothing.
  virtual absl::Status RecordStep(const RunRecord& run, const FunnelStep& step) = 0;
  // Ends the run: state, reasons, funnel, rows_artifact and states_digest are taken from `run`.
  // QUEUED gives it back.
  virtual absl::Status FinishRun(const RunRecord& run) = 0;
  // Events after `sequence`.
  virtual absl::StatusOr<std::vector<RunEvent>> ListRunEvents(const std::string& project,
                                                              const std::string& id, int64_t after,
                                                              int limit) = 0;

  // --- Versions
  // Stores the version and its rows, makes it the data set's current one and the run's, in one
  // transaction. If it exists already, the stored one is returned.
  virtual absl::StatusOr<VersionRecord> PutVersion(const VersionRecord& version,
                                                   const std::vector<SealedRow>& rows,
                                                   const RequestKey& key) = 0;
  // `dataset` may be "-".
  virtual absl::StatusOr<VersionRecord> GetVersion(const std::string& project,
                                                   const std::string& dataset,
                                                   const std::string& digest) = 0;
  virtual absl::StatusOr<Page<VersionRecord>> ListVersions(const PageQuery& query) = 0;
  // Versions of the project that hold a row.
  virtual absl::StatusOr<std::vector<VersionRecord>> VersionsWithRow(
      const std::string& project, const std::string& row_digest) = 0;

  // --- Tombstones
  virtual absl::StatusOr<TombstoneRecord> CreateTombstone(const TombstoneRecord& tombstone,
                                                          const RequestKey& key) = 0;
  virtual absl::StatusOr<Page<TombstoneRecord>> ListTombstones(const PageQuery& query) = 0;
  virtual absl::StatusOr<Tombstones> AllTombstones(const std::string& project) = 0;
};

}  // namespace crossover::curation
