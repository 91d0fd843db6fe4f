// Records in memory, for tests. Behaves as PgCurationStore does, as far as
// curation_store_conformance_test can tell.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/time/clock.h"
#include "services/data_curation/domain/curation_store.h"

namespace crossover::curation {

// Thread-safe. Borrows the clock.
class FakeCurationStore : public CurationStore {
 public:
  explicit FakeCurationStore(Clock& clock) : clock_(clock) {}

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
  using Key = std::pair<std::string, std::string>;  // project, id
  struct Lease {
    absl::Duration expires;
    std::string owner;
  };
  struct Request {
    std::string payload;
    std::string resource;
  };

  // The resource an earlier request with this key made; "" if there is none.
  absl::StatusOr<std::string> EarlierRequest(const std::string& project, const RequestKey& key);
  void RememberRequest(const std::string& project, const RequestKey& key,
                       const std::string& resource);
  void AddEvent(RunRecord& run, std::string type, std::string message);
  absl::StatusOr<RunRecord*> Leased(const RunRecord& run);

  Clock& clock_;
  std::mutex mutex_;
  std::map<Key, Request> requests_;
  std::map<Key, FileRecord> files_;
  std::map<Key, std::vector<Problem>> problems_;
  std::map<Key, DatasetRecord> datasets_;
  std::map<Key, RunRecord> runs_;
  std::map<Key, Lease> leases_;
  std::map<Key, std::vector<RunEvent>> events_;
  std::vector<VersionRecord> versions_;
  std::vector<std::pair<VersionRecord, std::vector<SealedRow>>> version_rows_;
  std::map<Key, TombstoneRecord> tombstones_;
  std::map<std::string, Entry> steps_;
};

}  // namespace crossover::curation
