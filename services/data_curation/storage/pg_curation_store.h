// CurationStore over Postgres, schema `curation`. The database's clock decides about leases.
#pragma once

#include <string>
#include <vector>

#include "common/pg/migration.h"
#include "common/pg/pool.h"
#include "services/data_curation/domain/curation_store.h"

namespace crossover::curation {

// Thread-safe. Borrows the pool, whose search_path is `curation`.
class PgCurationStore final : public CurationStore {
 public:
  explicit PgCurationStore(pg::Pool& pool) : pool_(pool) {}

  static pg::SchemaMigrations RequiredMigrations();

  absl::StatusOr<std::string> MadeBy(const std::string& project, const RequestKey& key) override;

  absl::StatusOr<FileRecord> CreateFile(const FileRecord& file, const RequestKey& key) override;
  absl::StatusOr<FileRecord> GetFile(const std::string& project, const std::string& id) override;
  absl::StatusOr<Page<FileRecord>> ListFiles(const PageQuery& query) override;
  absl::StatusOr<FileRecord> UpdateFile(const FileRecord& file) override;
  absl::Status DeleteFile(const std::string& project, const std::string& id) override;
  absl::Status PutProblems(const std::string& project, const std::string& id,
                           const std::vector<Problem>& problems) override;
  absl::StatusOr<std::vector<Problem>> ListProblems(const std::string& project,
                                                    const std::string& id, int64_t from,
                                                    int limit) override;
  absl::StatusOr<DatasetRecord> CreateDataset(const DatasetRecord& dataset,
                                              const RequestKey& key) override;
  absl::StatusOr<DatasetRecord> GetDataset(const std::string& project,
                                           const std::string& id) override;
  absl::StatusOr<Page<DatasetRecord>> ListDatasets(const PageQuery& query) override;
  absl::StatusOr<DatasetRecord> UpdateDataset(const DatasetRecord& dataset) override;
  absl::Status DeleteDataset(const std::string& project, const std::string& id) override;
  absl::StatusOr<RunRecord> CreateRun(const RunRecord& run, const RequestKey& key) override;
  absl::StatusOr<RunRecord> GetRun(const std::string& project, const std::string& id) override;
  absl::StatusOr<Page<RunRecord>> ListRuns(const PageQuery& query) override;
  absl::StatusOr<RunRecord> CancelRun(const std::string& project, const std::string& id) override;
  absl::StatusOr<RunRecord> ResumeRun(const std::string& project, const std::string& id) override;
  absl::StatusOr<std::optional<RunRecord>> ClaimRun(const std::string& worker,
                                                    absl::Duration ttl) override;
  absl::Status RenewRun(const RunRecord& run, absl::Duration ttl) override;
  absl::Status RecordStep(const RunRecord& run, const FunnelStep& step) override;
  absl::Status FinishRun(const RunRecord& run) override;
  absl::StatusOr<std::vector<RunEvent>> ListRunEvents(const std::string& project,
                                                      const std::string& id, int64_t after,
                                                      int limit) override;
  absl::StatusOr<VersionRecord> PutVersion(const VersionRecord& version,
                                           const std::vector<SealedRow>& rows,
                                           const RequestKey& key) override;
  absl::StatusOr<VersionRecord> GetVersion(const std::string& project, const std::string& dataset,
                                           const std::string& digest) override;
  absl::StatusOr<Page<VersionRecord>> ListVersions(const PageQuery& query) override;
  absl::StatusOr<std::vector<VersionRecord>> VersionsWithRow(
      const std::string& project, const std::string& row_digest) override;
  absl::StatusOr<TombstoneRecord> CreateTombstone(const TombstoneRecord& tombstone,
                                                  const RequestKey& key) override;
  absl::StatusOr<Page<TombstoneRecord>> ListTombstones(const PageQuery& query) override;
  absl::StatusOr<Tombstones> AllTombstones(const std::string& project) override;
  absl::StatusOr<std::optional<Entry>> FindStep(const std::string& key) override;
  absl::Status PutStep(const std::string& key, const Entry& entry) override;

 private:
  pg::Pool& pool_;
};

}  // namespace crossover::curation
