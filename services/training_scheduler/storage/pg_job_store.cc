#include "services/training_scheduler/storage/pg_job_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/id/uuid7.h"
#include "common/pg/transaction.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/webhook.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/insert_version.h"
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

absl::StatusOr<LockedJob> Lock(pqxx::transaction_base& txn, const JobId& id) {
  if (txn.exec_params(sql::kLockJob, Uuid(id)).empty()) return NoJob(id);
  const pqxx::result rows = txn.exec_params(sql::kGetLockedJob, Uuid(id));
  if (rows.empty()) return NoJob(id);
  LockedJob locked;
  ASSIGN_OR_RETURN(locked.job, ReadJob(rows[0]));
  locked.now = absl::FromUnixMicros(rows[0]["now_us"].as<int64_t>());
  return locked;
}

void WriteJob(pqxx::transaction_base& txn, const Job& job) {
  const bool leased = job.lease.has_value();
  const LeaseRecord lease = job.lease.value_or(LeaseRecord{});
  txn.exec_params(
      sql::kUpdateJob, Uuid(job.id), job.display_name, StringsToJson(job.labels), job.base_model,
      job.priority, job.queue, Timestamp(job.start_time), Timestamp(job.deadline), PlanToJson(job),
      ReportToJson(job), std::string(Name(job.state)), job.state_reason, job.lease_epoch,
      job.failure_count, job.lease_loss_count, job.last_checkpoint_step,
      job.checkpoint_step_at_loss, job.last_checkpoint_digest, job.worker, lease.token_hash,
      lease.worker, lease.incarnation, leased ? pg::ToTimestamp(lease.grant_time) : "",
      leased ? pg::ToTimestamp(lease.expire_time) : "",
      leased ? absl::StrCat(lease.last_worker_seq) : "", pg::ToTimestamp(job.update_time),
      Timestamp(job.run_time), Timestamp(job.ready_time), Timestamp(job.finish_time),
      pg::ToTimestamp(RankTime(job)), job.last_event_sequence, job.revision);
}

void WriteEvent(pqxx::transaction_base& txn, const JobId& id, const JobEvent& event) {
  txn.exec_params(sql::kInsertEvent, Uuid(id), event.sequence, pg::ToTimestamp(event.time),
                  std::string(Name(event.level)), std::string(Name(event.type)), event.message,
                  event.data, event.epoch, event.worker_seq);
}

// Job and effects, in the order that foreign keys need.
void Write(pqxx::transaction_base& txn, Job& job, Effects& effects, absl::Time now) {
  for (JobEvent& event : effects.events) {
    event.sequence = ++job.last_event_sequence;
    event.time = now;
  }
  for (const ModelVersion& version : effects.models) {
    const std::string alias = InsertVersion(txn, version);
    // What an earlier job made, byte for byte, keeps the alias it has.
    if (!version.alias.empty()) job.outputs.model_alias = alias;
  }
  if (effects.notable) job.update_time = now;
  job.revision += 1;
  WriteJob(txn, job);
  if (const auto event = WebhookEventOf(job); effects.ended && event.has_value()) {
    txn.exec_params(sql::kInsertWebhookDeliveries, job.project, Uuid(job.id), *event,
                    pg::ToTimestamp(now));
  }
  for (const JobEvent& event : effects.events) WriteEvent(txn, job.id, event);
  for (const MetricPoint& point : effects.metrics) {
    txn.exec_params(sql::kUpsertMetric, Uuid(job.id), point.step,
                    pg::ToTimestamp(point.time == absl::Time() ? now : point.time), point.epoch,
                    NumbersToJson(point.values));
  }
  for (const Checkpoint& checkpoint : effects.checkpoints) {
    txn.exec_params(sql::kInsertCheckpoint, Uuid(job.id), checkpoint.step, checkpoint.digest,
                    checkpoint.adapter_digest, checkpoint.epoch,
                    pg::ToTimestamp(checkpoint.create_time), NumbersToJson(checkpoint.metrics));
  }
}

// What `key` created, read inside a transaction.
absl::StatusOr<std::optional<Job>> Created(pqxx::transaction_base& txn, const std::string& project,
                                           const RequestKey& key) {
  const pqxx::result known = txn.exec_params(sql::kGetRequest, project, key.id);
  if (known.empty()) return std::optional<Job>();
  ASSIGN_OR_RETURN(std::vector<JobId> ids, ReadIds(known));
  if (known[0]["payload_hash"].as<std::string>("") != key.payload_hash) {
    return RequestIdReused(key.id, absl::StrCat("created job ", ids[0]));
  }
  ASSIGN_OR_RETURN(Job job, ReadJob(txn.exec_params(sql::kGetJob, Uuid(ids[0]))[0]));
  return std::optional(std::move(job));
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
  bool owed = false;
  absl::StatusOr<Job> stored = pg::Transact(
      pool_, {.name = "insert_job"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<Job> {
        const pqxx::result inserted = txn.exec_params(
            sql::kInsertJob, Uuid(job.id), job.project, key.id, key.payload_hash, job.display_name,
            StringsToJson(job.labels), std::string(Name(job.kind)), job.task, job.base_model,
            job.dataset_version, job.priority, job.queue, Timestamp(job.start_time),
            Timestamp(job.deadline), UuidArray(job.depends_on), job.max_failures,
            SpecToJson(job.spec));
        if (inserted.empty()) {
          ASSIGN_OR_RETURN(std::optional<Job> known, Created(txn, job.project, key));
          if (known.has_value()) return *std::move(known);
          return absl::InternalError("a job was neither inserted nor found by its request_id");
        }
        ASSIGN_OR_RETURN(LockedJob locked, Lock(txn, job.id));
        Effects effects;
        JobEvent created;
        created.type = EventType::kVerb;
        created.message = "created";
        effects.events.push_back(std::move(created));
        RETURN_IF_ERROR(mutation(locked.job, locked.now, effects));
        Write(txn, locked.job, effects, locked.now);
        owed = !MayNotify();
        if (!owed) txn.exec(sql::kNotify);
        return std::move(locked.job);
      });
  if (stored.ok() && owed) notify_owed_();
  return stored;
}

absl::StatusOr<std::optional<Job>> PgJobStore::FindCreated(const std::string& project,
                                                           const RequestKey& key) {
  return pg::Transact(pool_, {.name = "find_created", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return Created(txn, project, key); });
}

absl::StatusOr<Job> PgJobStore::Update(const JobId& id, const Mutation& mutation) {
  return UpdateOnce(id, {}, mutation);
}

absl::StatusOr<Job> PgJobStore::UpdateOnce(const JobId& id, const RequestKey& key,
                                           const Mutation& mutation) {
  bool owed = false;
  absl::StatusOr<Job> updated = pg::Transact(
      pool_, {.name = "update_job"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<Job> {
        ASSIGN_OR_RETURN(LockedJob locked, Lock(txn, id));
        if (!key.id.empty()) {
          ASSIGN_OR_RETURN(bool first, UseRequest(txn, locked.job.project, key));
          if (!first) return std::move(locked.job);
        }
        Effects effects;
        RETURN_IF_ERROR(mutation(locked.job, locked.now, effects));
        Write(txn, locked.job, effects, locked.now);
        owed = effects.notable && !MayNotify();
        if (effects.notable && !owed) txn.exec(sql::kNotify);
        return std::move(locked.job);
      });
  if (updated.ok() && owed) notify_owed_();
  return updated;
}

absl::StatusOr<std::vector<Job>> PgJobStore::Claim(const ClaimRequest& request) {
  std::vector<std::string> kinds;
  for (const JobKind kind : request.capabilities.kinds) kinds.emplace_back(Name(kind));
  return pg::Transact(
      pool_, {.name = "claim_jobs"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<Job>> {
        const pqxx::result claimed =
            txn.exec_params(sql::kClaimJobs, request.worker, request.incarnation,
                            absl::ToDoubleSeconds(request.ttl),
                            pg::ArrayLiteral(request.token_hashes), pg::ArrayLiteral(kinds),
                            pg::ArrayLiteral(request.capabilities.queues), request.project);
        ASSIGN_OR_RETURN(std::vector<JobId> ids, ReadIds(claimed));
        std::vector<Job> jobs;
        for (const JobId& id : ids) {
          ASSIGN_OR_RETURN(Job job, ReadJob(txn.exec_params(sql::kGetJob, Uuid(id))[0]));
          jobs.push_back(std::move(job));
        }
        return jobs;
      });
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
