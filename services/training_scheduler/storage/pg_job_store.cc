#include "services/training_scheduler/storage/pg_job_store.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <pqxx/pqxx>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/id/request_id.h"
#include "common/id/uuid7.h"
#include "common/pg/transaction.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/gang.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/insert_version.h"
#include "services/training_scheduler/storage/job_batch.h"
#include "services/training_scheduler/storage/job_json.h"
#include "services/training_scheduler/storage/job_row.h"

namespace crossover::scheduler {
namespace {

std::string Timestamp(const std::optional<absl::Time>& time) {
  return time.has_value() ? pg::ToTimestamp(*time) : "";
}

std::string UuidArray(const std::vector<JobId>& ids) {
  std::vector<std::string> uuids;
  for (const JobId& id : ids) uuids.push_back(Uuid(id));
  return pg::ArrayLiteral(uuids);
}

absl::Status NoJob(const JobId& id) {
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", absl::StrCat("no job ", id));
}

struct LockedJob {
  Job job;
  absl::Time now;
};

// By id; those that do not exist are absent. Reads the plans of those only that are not known.
absl::StatusOr<std::map<JobId, LockedJob>> LockAll(pqxx::transaction_base& txn,
                                                   const KnownJobs& jobs,
                                                   const std::vector<JobId>& ids) {
  std::map<JobId, std::shared_ptr<const KnownJob>> known;
  std::vector<JobId> unknown;
  for (const JobId& id : ids) {
    if (auto job = jobs.Find(id)) {
      known[id] = std::move(job);
    } else {
      unknown.push_back(id);
    }
  }
  std::map<JobId, LockedJob> locked;
  for (const pqxx::row& row :
       pg::ExecPrepared(txn, sql::kLockJobs, UuidArray(ids), UuidArray(unknown))) {
    ASSIGN_OR_RETURN(JobId id, UuidToId(row["id"].as<std::string>()));
    const auto plan = known.find(id);
    ASSIGN_OR_RETURN(Job job, ReadJob(row, plan == known.end() ? nullptr : plan->second.get()));
    locked[id] = {std::move(job), absl::FromUnixMicros(row["now_us"].as<int64_t>())};
  }
  return locked;
}

absl::StatusOr<LockedJob> Lock(pqxx::transaction_base& txn, const KnownJobs& jobs,
                               const JobId& id) {
  ASSIGN_OR_RETURN(auto locked, LockAll(txn, jobs, {id}));
  const auto found = locked.find(id);
  if (found == locked.end()) return NoJob(id);
  return std::move(found->second);
}

// Runs the mutation and adds what it did to the batch.
absl::StatusOr<Job> Mutate(pqxx::transaction_base& txn, JobBatch& batch, LockedJob locked,
                           Effects effects, const JobStore::Mutation& mutation) {
  const JobBefore before(locked.job);
  RETURN_IF_ERROR(mutation(locked.job, locked.now, effects));
  WriteBeside(txn, before, locked.job, effects);
  batch.Add(before, locked.job, effects, locked.now);
  return std::move(locked.job);
}

// The same of jobs as they are known. False, with some of them changed, if one needs more than its
// row to be written, or is refused: that is for the row itself to say.
bool MutateKnown(JobBatch& batch, std::span<const JobUpdate> updates, std::vector<KnownJob>& known,
                 absl::Time now) {
  // In the order in which rows are locked elsewhere too.
  std::vector<size_t> order(known.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return known[a].job.id < known[b].job.id; });
  for (const size_t i : order) {
    Job& job = known[i].job;
    const JobBefore before(job);
    Effects effects;
    if (!updates[i].mutation(job, now, effects).ok()) return false;
    if (!ChangesOnlyItsRow(before, job, effects)) return false;
    batch.Add(before, job, effects, now, known[i].version);
  }
  return true;
}

// What `key` created, read inside a transaction.
absl::StatusOr<std::optional<Job>> Created(pqxx::transaction_base& txn, const std::string& project,
                                           const RequestKey& key) {
  const pqxx::result known = txn.exec_params(sql::kGetRequest, project, key.id);
  if (known.empty()) return std::optional<Job>();
  ASSIGN_OR_RETURN(std::vector<JobId> ids, ReadIds(known));
  if (known[0]["payload_hash"].as<std::string>("") != key.payload_hash) {
    return RequestIdReused(key.id, absl::StrCat("job ", ids[0]));
  }
  ASSIGN_OR_RETURN(Job job, ReadJob(txn.exec_params(sql::kGetJob, Uuid(ids[0]))[0]));
  return std::optional(std::move(job));
}

// Outside of pg::Transact, which would catch what pqxx throws.
absl::StatusOr<Job> TryReadJob(const pqxx::row& row, const KnownJobs& known) {
  try {
    ASSIGN_OR_RETURN(const JobId id, UuidToId(row["id"].as<std::string>()));
    return ReadJob(row, known.Find(id).get());
  } catch (...) {
    return pg::StatusFromCurrentException("read_claimed_job");
  }
}

// Those that can be read: they are leased already, so that one's fault must not cost the others
// their leases. The log says which cannot and why; it is an error only if none can.
absl::StatusOr<std::vector<Job>> ReadClaimed(const pqxx::result& rows, const KnownJobs& known,
                                             Logger& logger) {
  std::vector<Job> jobs;
  absl::Status unreadable;
  for (const pqxx::row& row : rows) {
    absl::StatusOr<Job> job = TryReadJob(row, known);
    if (job.ok()) {
      jobs.push_back(*std::move(job));
      continue;
    }
    const std::string uuid = row["id"].c_str();
    logger.Error("claimed_job_unreadable",
                 {{"job", UuidToId(uuid).value_or(uuid)}, {"error", job.status()}});
    unreadable.Update(job.status());
  }
  if (jobs.empty() && !unreadable.ok()) return unreadable;
  return jobs;
}

}  // namespace

bool PgJobStore::MayNotify() {
  const int64_t now = absl::ToInt64Microseconds(pool_.clock().SteadyNow());
  int64_t last = last_notify_us_.load();
  if (now - last >= absl::ToInt64Microseconds(kNotifyGap) &&
      last_notify_us_.compare_exchange_strong(last, now)) {
    return true;
  }
  owed_ = true;
  return false;
}

PgJobStore::Flushed PgJobStore::Flush(pqxx::transaction_base& txn, JobBatch& batch) {
  if (batch.empty()) return {};
  const bool notify = batch.notable() && MayNotify();
  const JobBatch::Written written = batch.Flush(txn, notify);
  time_.Heard(written.now, pool_.clock().SteadyNow());
  return {.version = written.version, .owed = batch.notable() && !notify};
}

void PgJobStore::Keep(const std::vector<absl::StatusOr<Job>>& jobs, const Flushed& flushed) {
  for (const absl::StatusOr<Job>& job : jobs) {
    if (job.ok()) known_.Keep(*job, flushed.version);
  }
  if (flushed.owed) notify_owed_();
}

absl::Status PgJobStore::FlushNotify() {
  if (!owed_.exchange(false)) return absl::OkStatus();
  last_notify_us_ = absl::ToInt64Microseconds(pool_.clock().SteadyNow());
  return pg::Transact(pool_, {.name = "notify"}, [](pqxx::transaction_base& txn) {
    txn.exec(sql::kNotify);
    return absl::OkStatus();
  });
}

absl::StatusOr<Job> PgJobStore::Insert(const Job& job, const RequestKey& key,
                                       const Mutation& mutation) {
  Flushed flushed;
  absl::StatusOr<Job> stored = pg::Transact(
      pool_, {.name = "insert_job"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<Job> {
        const pqxx::result inserted = txn.exec_params(
            sql::kInsertJob, Uuid(job.id), job.project, key.id, key.payload_hash, job.display_name,
            StringsToJson(job.labels), std::string(Name(job.kind)), job.task, job.base_model,
            job.dataset_version, job.priority, job.queue, Timestamp(job.start_time),
            Timestamp(job.deadline), UuidArray(job.depends_on), job.max_failures,
            SpecToJson(job.spec), job.requirements.device, job.requirements.memory_bytes,
            job.requirements.gang_size);
        if (inserted.empty()) {
          ASSIGN_OR_RETURN(std::optional<Job> known, Created(txn, job.project, key));
          if (known.has_value()) return *std::move(known);
          return absl::InternalError("a job was neither inserted nor found by its request_id");
        }
        ASSIGN_OR_RETURN(LockedJob locked, Lock(txn, known_, job.id));
        Effects effects;
        JobEvent created;
        created.type = EventType::kVerb;
        created.message = "created";
        effects.events.push_back(std::move(created));
        JobBatch batch;
        ASSIGN_OR_RETURN(Job made,
                         Mutate(txn, batch, std::move(locked), std::move(effects), mutation));
        flushed = Flush(txn, batch);
        return made;
      });
  // Not what was created before under the same request id.
  if (!flushed.version.empty()) Keep({stored}, flushed);
  return stored;
}

absl::StatusOr<std::optional<Job>> PgJobStore::FindCreated(const std::string& project,
                                                           const RequestKey& key) {
  return pg::Transact(pool_, {.name = "find_created", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return Created(txn, project, key); });
}

absl::StatusOr<Job> PgJobStore::Update(const JobId& id, const Mutation& mutation) {
  return commits_.Update({id, mutation});
}

std::vector<absl::StatusOr<Job>> PgJobStore::UpdateAll(std::span<const JobUpdate> updates) {
  if (auto written = UpdateKnown(updates)) return *std::move(written);
  return UpdateLocked(updates);
}

std::optional<std::vector<absl::StatusOr<Job>>> PgJobStore::UpdateKnown(
    std::span<const JobUpdate> updates) {
  const std::optional<absl::Time> now = time_.Now(pool_.clock().SteadyNow());
  if (!now.has_value()) return std::nullopt;
  std::vector<JobId> ids;
  for (const JobUpdate& update : updates) ids.push_back(update.id);
  std::vector<KnownJob> known = known_.Take(ids);
  if (known.empty()) return std::nullopt;
  JobBatch batch;
  Flushed flushed;
  absl::Status status = absl::AbortedError("not from memory");
  if (MutateKnown(batch, updates, known, *now)) {
    status = pg::Transact(pool_, {.name = "write_known_jobs", .one_statement = true},
                          [&](pqxx::transaction_base& txn) {
                            flushed = Flush(txn, batch);
                            return absl::OkStatus();
                          });
  }
  if (!status.ok()) {
    for (KnownJob& one : known) known_.Keep(std::move(one.job), "");
    // The write may stand, or there is no time left. All else is for the row to say.
    if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return std::nullopt;
    return std::vector<absl::StatusOr<Job>>(updates.size(), status);
  }
  std::vector<absl::StatusOr<Job>> results;
  for (KnownJob& one : known) results.emplace_back(std::move(one.job));
  Keep(results, flushed);
  return results;
}

std::vector<absl::StatusOr<Job>> PgJobStore::UpdateLocked(std::span<const JobUpdate> updates) {
  std::vector<JobId> ids;
  for (const JobUpdate& update : updates) ids.push_back(update.id);
  Flushed flushed;
  std::vector<absl::StatusOr<Job>> results;
  const absl::Status status = pg::Transact(
      pool_, {.name = "update_jobs"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        results.clear();
        ASSIGN_OR_RETURN(auto locked, LockAll(txn, known_, ids));
        JobBatch batch;
        for (const JobUpdate& update : updates) {
          const auto found = locked.find(update.id);
          results.push_back(found == locked.end() ? absl::StatusOr<Job>(NoJob(update.id))
                                                  : Mutate(txn, batch, std::move(found->second), {},
                                                           update.mutation));
        }
        flushed = Flush(txn, batch);
        return absl::OkStatus();
      });
  if (!status.ok()) results.assign(updates.size(), status);
  Keep(results, flushed);
  return results;
}

absl::StatusOr<Job> PgJobStore::UpdateOnce(const JobId& id, const RequestKey& key,
                                           const Mutation& mutation) {
  if (key.id.empty()) return Update(id, mutation);
  Flushed flushed;
  absl::StatusOr<Job> updated = pg::Transact(
      pool_, {.name = "update_job"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<Job> {
        flushed = {};
        ASSIGN_OR_RETURN(LockedJob locked, Lock(txn, known_, id));
        ASSIGN_OR_RETURN(bool first, UseRequest(txn, locked.job.project, key));
        if (!first) return std::move(locked.job);
        JobBatch batch;
        ASSIGN_OR_RETURN(Job job, Mutate(txn, batch, std::move(locked), {}, mutation));
        flushed = Flush(txn, batch);
        return job;
      });
  if (!flushed.version.empty()) Keep({updated}, flushed);
  return updated;
}

absl::StatusOr<std::vector<Job>> PgJobStore::Claim(const ClaimRequest& request) {
  std::vector<std::string> kinds, workers, incarnations, hashes, bases;
  for (const JobKind kind : request.capabilities.kinds) kinds.emplace_back(Name(kind));
  for (const Claimant& claimant : request.claimants) {
    workers.push_back(claimant.worker);
    incarnations.push_back(claimant.incarnation);
    hashes.push_back(claimant.token_hash);
    bases.push_back(absl::StrJoin(claimant.bases, ","));
  }
  ASSIGN_OR_RETURN(pqxx::result rows,
                   pg::Transact(pool_, {.name = "claim_jobs", .one_statement = true},
                                [&](pqxx::transaction_base& txn) -> absl::StatusOr<pqxx::result> {
                                  return pg::ExecPrepared(
                                      txn, sql::kClaimJobs, pg::ArrayLiteral(workers),
                                      pg::ArrayLiteral(incarnations), pg::ArrayLiteral(hashes),
                                      absl::ToDoubleSeconds(request.ttl), pg::ArrayLiteral(kinds),
                                      pg::ArrayLiteral(request.capabilities.queues),
                                      request.project, request.capabilities.device,
                                      request.capabilities.memory_bytes, pg::ArrayLiteral(bases));
                                }));
  const absl::Duration heard = pool_.clock().SteadyNow();
  ASSIGN_OR_RETURN(std::vector<Job> claimed, ReadClaimed(rows, known_, logger_));
  for (const Job& job : claimed) {
    time_.Heard(job.lease->grant_time, heard);
    known_.Keep(job, rows[0]["version"].as<std::string>());
  }
  return claimed;
}

absl::StatusOr<std::vector<Job>> PgJobStore::ClaimGang(const ClaimRequest& request) {
  std::vector<std::string> kinds;
  for (const JobKind kind : request.capabilities.kinds) kinds.emplace_back(Name(kind));
  Flushed flushed;
  absl::StatusOr<std::vector<Job>> claimed = pg::Transact(
      pool_, {.name = "claim_gang"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<Job>> {
        txn.exec(sql::kLockQuotas);
        const pqxx::result found = txn.exec_params(
            sql::kFindGangJob, pg::ArrayLiteral(GangLimits(request.claimants, false)),
            pg::ArrayLiteral(kinds), pg::ArrayLiteral(request.capabilities.queues), request.project,
            request.capabilities.device, pg::ArrayLiteral(GangLimits(request.claimants, true)));
        if (found.empty()) return std::vector<Job>();
        ASSIGN_OR_RETURN(std::vector<JobId> ids, ReadIds(found));
        ASSIGN_OR_RETURN(LockedJob locked, Lock(txn, known_, ids.front()));
        JobBatch batch;
        ASSIGN_OR_RETURN(Job job, Mutate(txn, batch, std::move(locked), {},
                                         [&](Job& mine, absl::Time now, Effects& effects) {
                                           return Grant(mine, GangLease(request, mine, now), now,
                                                        effects);
                                         }));
        txn.exec_params(sql::kForgetMetrics, Uuid(job.id), job.last_checkpoint_step);
        flushed = Flush(txn, batch);
        return std::vector<Job>{std::move(job)};
      });
  if (claimed.ok()) {
    for (const Job& job : *claimed) Keep({job}, flushed);
  }
  return claimed;
}

absl::Status PgJobStore::AsLeader(const std::function<absl::Status()>& pass) {
  // The transaction stays open while the pass works on other connections: it holds the lock, and
  // loses it if the connection breaks.
  return pg::Transact(pool_, {.name = "lead", .max_attempts = 1}, [&](pqxx::transaction_base& txn) {
    const pqxx::result rows = txn.exec_params(sql::kTryLead, "scheduler/housekeeping");
    return rows[0]["leader"].as<bool>() ? pass() : absl::OkStatus();
  });
}

}  // namespace crossover::scheduler
