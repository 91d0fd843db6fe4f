#include "services/data_curation/domain/fake_curation_store.h"

#include <algorithm>
#include <functional>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/store_errors.h"

namespace crossover::curation {
namespace {

// Newest first by creation, then by key; positions are "<microseconds>/<key>" with a fixed width.
template <typename Record>
Page<Record> Paged(std::vector<Record> records, const PageQuery& query,
                   const std::function<std::string(const Record&)>& key) {
  const auto position = [&key](const Record& record) {
    std::string micros = absl::StrCat(absl::ToUnixMicros(record.create_time));
    return std::string(20 - micros.size(), '0') + micros + "/" + key(record);
  };
  std::sort(records.begin(), records.end(),
            [&](const Record& a, const Record& b) { return position(a) > position(b); });
  Page<Record> page;
  for (Record& record : records) {
    std::string here = position(record);
    if (!query.after.empty() && here >= query.after) continue;
    if (static_cast<int>(page.records.size()) == query.limit) break;
    page.records.push_back(std::move(record));
    page.positions.push_back(std::move(here));
  }
  return page;
}

template <typename Map>
auto* FindIn(Map& map, const std::string& project, const std::string& id) {
  const auto entry = map.find({project, id});
  return entry == map.end() ? nullptr : &entry->second;
}

template <typename Record>
std::vector<Record> OfProject(const std::map<std::pair<std::string, std::string>, Record>& map,
                              const std::string& project) {
  std::vector<Record> records;
  for (const auto& [key, record] : map) {
    if (key.first == project) records.push_back(record);
  }
  return records;
}

}  // namespace

absl::StatusOr<std::string> FakeCurationStore::EarlierRequest(const std::string& project,
                                                              const RequestKey& key) {
  if (key.id.empty()) return std::string();
  const Request* request = FindIn(requests_, project, key.id);
  if (request == nullptr) return std::string();
  if (request->payload != key.payload) return RequestIdReused(key.id);
  return request->resource;
}

void FakeCurationStore::RememberRequest(const std::string& project, const RequestKey& key,
                                        const std::string& resource) {
  if (!key.id.empty()) requests_[{project, key.id}] = {key.payload, resource};
}

absl::StatusOr<std::string> FakeCurationStore::MadeBy(const std::string& project,
                                                      const RequestKey& key) {
  const std::lock_guard lock(mutex_);
  return EarlierRequest(project, key);
}

absl::StatusOr<FileRecord> FakeCurationStore::CreateFile(const FileRecord& file,
                                                         const RequestKey& key) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const std::string earlier, EarlierRequest(file.project, key));
  if (!earlier.empty()) return files_.at({file.project, earlier});
  if (FindIn(files_, file.project, file.id) != nullptr) return Exists("file", file.id);
  FileRecord stored = file;
  stored.create_time = stored.update_time = clock_.Now();
  stored.revision = 1;
  files_[{file.project, file.id}] = stored;
  RememberRequest(file.project, key, file.id);
  return stored;
}

absl::StatusOr<FileRecord> FakeCurationStore::GetFile(const std::string& project,
                                                      const std::string& id) {
  const std::lock_guard lock(mutex_);
  const FileRecord* file = FindIn(files_, project, id);
  if (file == nullptr) return NotFound("file", id);
  return *file;
}

absl::StatusOr<Page<FileRecord>> FakeCurationStore::ListFiles(const PageQuery& query) {
  const std::lock_guard lock(mutex_);
  return Paged<FileRecord>(OfProject(files_, query.project), query,
                           [](const FileRecord& file) { return file.id; });
}

absl::StatusOr<FileRecord> FakeCurationStore::UpdateFile(const FileRecord& file) {
  const std::lock_guard lock(mutex_);
  FileRecord* stored = FindIn(files_, file.project, file.id);
  if (stored == nullptr) return NotFound("file", file.id);
  if (stored->revision != file.revision) return EtagMismatch("file", file.id);
  const absl::Time created = stored->create_time;
  *stored = file;
  stored->create_time = created;
  stored->update_time = clock_.Now();
  ++stored->revision;
  return *stored;
}

absl::Status FakeCurationStore::DeleteFile(const std::string& project, const std::string& id) {
  const std::lock_guard lock(mutex_);
  problems_.erase({project, id});
  if (files_.erase({project, id}) == 0) return NotFound("file", id);
  return absl::OkStatus();
}

absl::Status FakeCurationStore::PutProblems(const std::string& project, const std::string& id,
                                            const std::vector<Problem>& problems) {
  const std::lock_guard lock(mutex_);
  if (FindIn(files_, project, id) == nullptr) return NotFound("file", id);
  problems_[{project, id}] = problems;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Problem>> FakeCurationStore::ListProblems(const std::string& project,
                                                                     const std::string& id,
                                                                     int64_t from, int limit) {
  const std::lock_guard lock(mutex_);
  if (FindIn(files_, project, id) == nullptr) return NotFound("file", id);
  const std::vector<Problem>& all = problems_[{project, id}];
  std::vector<Problem> page;
  for (size_t i = from; i < all.size() && static_cast<int>(page.size()) < limit; ++i)
    page.push_back(all[i]);
  return page;
}

absl::StatusOr<DatasetRecord> FakeCurationStore::CreateDataset(const DatasetRecord& dataset,
                                                               const RequestKey& key) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const std::string earlier, EarlierRequest(dataset.project, key));
  if (!earlier.empty()) return datasets_.at({dataset.project, earlier});
  if (FindIn(datasets_, dataset.project, dataset.id) != nullptr)
    return Exists("data set", dataset.id);
  DatasetRecord stored = dataset;
  stored.create_time = stored.update_time = clock_.Now();
  stored.revision = 1;
  datasets_[{dataset.project, dataset.id}] = stored;
  RememberRequest(dataset.project, key, dataset.id);
  return stored;
}

absl::StatusOr<DatasetRecord> FakeCurationStore::GetDataset(const std::string& project,
                                                            const std::string& id) {
  const std::lock_guard lock(mutex_);
  const DatasetRecord* dataset = FindIn(datasets_, project, id);
  if (dataset == nullptr) return NotFound("data set", id);
  return *dataset;
}

absl::StatusOr<Page<DatasetRecord>> FakeCurationStore::ListDatasets(const PageQuery& query) {
  const std::lock_guard lock(mutex_);
  return Paged<DatasetRecord>(OfProject(datasets_, query.project), query,
                              [](const DatasetRecord& dataset) { return dataset.id; });
}

absl::StatusOr<DatasetRecord> FakeCurationStore::UpdateDataset(const DatasetRecord& dataset) {
  const std::lock_guard lock(mutex_);
  DatasetRecord* stored = FindIn(datasets_, dataset.project, dataset.id);
  if (stored == nullptr) return NotFound("data set", dataset.id);
  if (stored->revision != dataset.revision) return EtagMismatch("data set", dataset.id);
  const DatasetRecord old = *stored;
  *stored = dataset;
  stored->create_time = old.create_time;
  stored->current_version = old.current_version;
  stored->update_time = clock_.Now();
  ++stored->revision;
  return *stored;
}

absl::Status FakeCurationStore::DeleteDataset(const std::string& project, const std::string& id) {
  const std::lock_guard lock(mutex_);
  for (const VersionRecord& version : versions_) {
    if (version.project == project && version.dataset == id) return DatasetInUse(id);
  }
  std::erase_if(runs_, [&](const auto& entry) {
    return entry.second.project == project && entry.second.dataset == id;
  });
  if (datasets_.erase({project, id}) == 0) return NotFound("data set", id);
  return absl::OkStatus();
}

void FakeCurationStore::AddEvent(RunRecord& run, std::string type, std::string message) {
  std::vector<RunEvent>& events = events_[{run.project, run.id}];
  events.push_back({static_cast<int64_t>(events.size()) + 1, clock_.Now(), std::move(type),
                    std::move(message), "{}"});
  run.update_time = clock_.Now();
  ++run.revision;
}

absl::StatusOr<RunRecord> FakeCurationStore::CreateRun(const RunRecord& run,
                                                       const RequestKey& key) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const std::string earlier, EarlierRequest(run.project, key));
  if (!earlier.empty()) return runs_.at({run.project, earlier});
  if (FindIn(datasets_, run.project, run.dataset) == nullptr)
    return NotFound("data set", run.dataset);
  RunRecord stored = run;
  stored.create_time = clock_.Now();
  stored.revision = 0;
  stored.state = RunState::kQueued;
  AddEvent(stored, "state_changed", "QUEUED");
  runs_[{run.project, run.id}] = stored;
  RememberRequest(run.project, key, run.id);
  return stored;
}

absl::StatusOr<RunRecord> FakeCurationStore::GetRun(const std::string& project,
                                                    const std::string& id) {
  const std::lock_guard lock(mutex_);
  const RunRecord* run = FindIn(runs_, project, id);
  if (run == nullptr) return NotFound("run", id);
  return *run;
}

absl::StatusOr<Page<RunRecord>> FakeCurationStore::ListRuns(const PageQuery& query) {
  const std::lock_guard lock(mutex_);
  std::vector<RunRecord> runs = OfProject(runs_, query.project);
  std::erase_if(runs, [&](const RunRecord& run) {
    return query.parent != "-" && run.dataset != query.parent;
  });
  return Paged<RunRecord>(std::move(runs), query, [](const RunRecord& run) { return run.id; });
}

absl::StatusOr<RunRecord> FakeCurationStore::CancelRun(const std::string& project,
                                                       const std::string& id) {
  const std::lock_guard lock(mutex_);
  RunRecord* run = FindIn(runs_, project, id);
  if (run == nullptr) return NotFound("run", id);
  if (run->state == RunState::kCancelled) return *run;
  if (IsTerminal(run->state))
    return RunStateInvalid(*run, "Cancel", "QUEUED, RUNNING or NEEDS_REVIEW");
  run->state = RunState::kCancelled;
  run->state_reason = "cancelled";
  run->finish_time = clock_.Now();
  leases_.erase({project, id});
  AddEvent(*run, "state_changed", "CANCELLED");
  return *run;
}

absl::StatusOr<RunRecord> FakeCurationStore::ResumeRun(const std::string& project,
                                                       const std::string& id) {
  const std::lock_guard lock(mutex_);
  RunRecord* run = FindIn(runs_, project, id);
  if (run == nullptr) return NotFound("run", id);
  if (run->state != RunState::kFailed && run->state != RunState::kCancelled) {
    return RunStateInvalid(*run, "Resume", "FAILED or CANCELLED");
  }
  run->state = RunState::kQueued;
  run->state_reason.clear();
  run->error_reason.clear();
  run->finish_time.reset();
  AddEvent(*run, "state_changed", "QUEUED");
  return *run;
}

absl::StatusOr<std::optional<RunRecord>> FakeCurationStore::ClaimRun(const std::string& worker,
                                                                     absl::Duration ttl) {
  const std::lock_guard lock(mutex_);
  RunRecord* oldest = nullptr;
  for (auto& [key, run] : runs_) {
    const bool running = run.state == RunState::kRunning;
    const bool own = running && leases_[key].owner == worker;
    const bool expired = running && leases_[key].expires <= clock_.SteadyNow();
    if (run.state != RunState::kQueued && !expired && !own) continue;
    if (own || oldest == nullptr || run.id < oldest->id) oldest = &run;
    if (own) break;
  }
  if (oldest == nullptr) return std::optional<RunRecord>();
  oldest->state = RunState::kRunning;
  oldest->funnel.clear();
  ++oldest->lease_epoch;
  leases_[{oldest->project, oldest->id}] = {clock_.SteadyNow() + ttl, worker};
  AddEvent(*oldest, "state_changed", "RUNNING");
  return std::optional<RunRecord>(*oldest);
}

absl::StatusOr<RunRecord*> FakeCurationStore::Leased(const RunRecord& run) {
  RunRecord* stored = FindIn(runs_, run.project, run.id);
  if (stored == nullptr || stored->state != RunState::kRunning ||
      stored->lease_epoch != run.lease_epoch) {
    return RunLeaseLost(run.id);
  }
  return stored;
}

absl::Status FakeCurationStore::RenewRun(const RunRecord& run, absl::Duration ttl) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(Leased(run).status());
  leases_[{run.project, run.id}].expires = clock_.SteadyNow() + ttl;
  return absl::OkStatus();
}

absl::Status FakeCurationStore::RecordStep(const RunRecord& run, const FunnelStep& step) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(RunRecord * stored, Leased(run));
  if (stored->funnel.size() > run.funnel.size()) return absl::OkStatus();  // a repeat
  stored->funnel.push_back(step);
  AddEvent(*stored, "stage_finished", step.stage);
  events_[{run.project, run.id}].back().data = FunnelStepToJson(step);
  return absl::OkStatus();
}

absl::Status FakeCurationStore::FinishRun(const RunRecord& run) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(RunRecord * stored, Leased(run));
  stored->state = run.state;
  stored->state_reason = run.state_reason;
  stored->error_reason = run.error_reason;
  stored->funnel = run.funnel;
  stored->rows_artifact = run.rows_artifact;
  stored->states_digest = run.states_digest;
  if (IsTerminal(run.state)) stored->finish_time = clock_.Now();
  leases_.erase({run.project, run.id});
  AddEvent(*stored, "state_changed", std::string(Name(run.state)));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RunEvent>> FakeCurationStore::ListRunEvents(const std::string& project,
                                                                       const std::string& id,
                                                                       int64_t after, int limit) {
  const std::lock_guard lock(mutex_);
  if (FindIn(runs_, project, id) == nullptr) return NotFound("run", id);
  std::vector<RunEvent> page;
  for (const RunEvent& event : events_[{project, id}]) {
    if (event.sequence > after && static_cast<int>(page.size()) < limit) page.push_back(event);
  }
  return page;
}

absl::StatusOr<VersionRecord> FakeCurationStore::PutVersion(const VersionRecord& version,
                                                            const std::vector<SealedRow>& rows,
                                                            const RequestKey& key) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const std::string earlier, EarlierRequest(version.project, key));
  for (const VersionRecord& stored : versions_) {
    if (stored.project == version.project && stored.dataset + "/" + stored.digest == earlier)
      return stored;
  }
  DatasetRecord* dataset = FindIn(datasets_, version.project, version.dataset);
  if (dataset == nullptr) return NotFound("data set", version.dataset);
  dataset->current_version = version.digest;
  if (RunRecord* run = FindIn(runs_, version.project, version.run))
    run->dataset_version = version.digest;
  RememberRequest(version.project, key, version.dataset + "/" + version.digest);
  for (const VersionRecord& stored : versions_) {
    const bool same = stored.project == version.project && stored.dataset == version.dataset;
    if (same && stored.digest == version.digest) return stored;
  }
  versions_.push_back(version);
  versions_.back().create_time = clock_.Now();
  version_rows_.emplace_back(versions_.back(), rows);
  return versions_.back();
}

absl::StatusOr<VersionRecord> FakeCurationStore::GetVersion(const std::string& project,
                                                            const std::string& dataset,
                                                            const std::string& digest) {
  const std::lock_guard lock(mutex_);
  for (const VersionRecord& version : versions_) {
    const bool here = version.project == project && (dataset == "-" || version.dataset == dataset);
    if (here && version.digest == digest) return version;
  }
  return NotFound("data set version", digest);
}

absl::StatusOr<Page<VersionRecord>> FakeCurationStore::ListVersions(const PageQuery& query) {
  const std::lock_guard lock(mutex_);
  std::vector<VersionRecord> versions = versions_;
  std::erase_if(versions, [&](const VersionRecord& version) {
    return version.project != query.project ||
           (query.parent != "-" && version.dataset != query.parent);
  });
  return Paged<VersionRecord>(std::move(versions), query, [](const VersionRecord& version) {
    return version.dataset + "/" + version.digest;
  });
}

absl::StatusOr<std::vector<VersionRecord>> FakeCurationStore::VersionsWithRow(
    const std::string& project, const std::string& row_digest) {
  const std::lock_guard lock(mutex_);
  std::vector<VersionRecord> found;
  for (const auto& [version, rows] : version_rows_) {
    const bool holds = std::any_of(rows.begin(), rows.end(), [&](const SealedRow& row) {
      return row.row_digest == row_digest;
    });
    if (version.project == project && holds) found.push_back(version);
  }
  return found;
}

absl::StatusOr<TombstoneRecord> FakeCurationStore::CreateTombstone(const TombstoneRecord& tombstone,
                                                                   const RequestKey& key) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const std::string earlier, EarlierRequest(tombstone.project, key));
  if (!earlier.empty()) return tombstones_.at({tombstone.project, earlier});
  TombstoneRecord stored = tombstone;
  stored.create_time = clock_.Now();
  tombstones_[{tombstone.project, tombstone.id}] = stored;
  RememberRequest(tombstone.project, key, tombstone.id);
  return stored;
}

absl::StatusOr<Page<TombstoneRecord>> FakeCurationStore::ListTombstones(const PageQuery& query) {
  const std::lock_guard lock(mutex_);
  return Paged<TombstoneRecord>(OfProject(tombstones_, query.project), query,
                                [](const TombstoneRecord& tombstone) { return tombstone.id; });
}

absl::StatusOr<Tombstones> FakeCurationStore::AllTombstones(const std::string& project) {
  const std::lock_guard lock(mutex_);
  Tombstones all;
  for (const TombstoneRecord& tombstone : OfProject(tombstones_, project)) {
    if (!tombstone.row_digest.empty()) all.row_digests.insert(tombstone.row_digest);
    if (!tombstone.subject.empty()) all.subjects.insert(tombstone.subject);
  }
  return all;
}

absl::StatusOr<std::optional<StepCache::Entry>> FakeCurationStore::FindStep(
    const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto entry = steps_.find(key);
  return entry == steps_.end() ? std::nullopt : std::optional(entry->second);
}

absl::Status FakeCurationStore::PutStep(const std::string& key, const Entry& entry) {
  const std::lock_guard lock(mutex_);
  steps_[key] = entry;
  return absl::OkStatus();
}

}  // namespace crossover::curation
