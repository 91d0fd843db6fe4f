// PgJobStore's reads and small writes.
#include "absl/strings/str_cat.h"
#include "common/id/uuid7.h"
#include "common/pg/transaction.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/kept_checkpoints.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/job_json.h"
#include "services/training_scheduler/storage/job_row.h"
#include "services/training_scheduler/storage/pg_job_store.h"
#include "services/training_scheduler/storage/usage_json.h"

namespace crossover::scheduler {
namespace {

// A read-only transaction of one query.
template <typename... Args>
absl::StatusOr<pqxx::result> Query(pg::Pool& pool, const char* name, const char* sql,
                                   Args&&... args) {
  return pg::Transact(pool, {.name = name, .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<pqxx::result> {
                        return txn.exec_params(sql, args...);
                      });
}

}  // namespace

absl::StatusOr<Job> PgJobStore::Get(const JobId& id) {
  ASSIGN_OR_RETURN(pqxx::result rows, Query(pool_, "get_job", sql::kGetJob, Uuid(id)));
  if (rows.empty()) {
    return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", absl::StrCat("no job ", id));
  }
  return ReadJob(rows[0]);
}

absl::StatusOr<std::vector<Job>> PgJobStore::List(const JobQuery& query) {
  std::vector<std::string> states;
  for (const JobState state : query.filter.states) states.emplace_back(Name(state));
  const std::string kind =
      query.filter.kind.has_value() ? std::string(Name(*query.filter.kind)) : "";
  ASSIGN_OR_RETURN(
      pqxx::result rows,
      Query(pool_, "list_jobs",
            query.oldest_first ? sql::kListJobsOldestFirst : sql::kListJobsNewestFirst,
            query.project, pg::ArrayLiteral(states), kind, query.filter.task,
            query.filter.base_model, query.filter.dataset_version, query.filter.queue,
            StringsToJson(query.filter.labels), query.after.empty() ? "" : Uuid(query.after),
            query.limit, query.filter.adapter));
  return ReadAll(rows, &ReadJob);
}

absl::Status PgJobStore::SetQuota(const std::string& project, std::optional<int32_t> leases) {
  return pg::Transact(pool_, {.name = "set_quota"}, [&](pqxx::transaction_base& txn) {
    txn.exec_params(sql::kSetQuota, project, leases.has_value() ? absl::StrCat(*leases) : "");
    return absl::OkStatus();
  });
}

absl::StatusOr<std::optional<Preemption>> PgJobStore::FindPreemption(absl::Duration waited,
                                                                     int32_t gap) {
  ASSIGN_OR_RETURN(pqxx::result rows, Query(pool_, "find_preemption", sql::kFindPreemption,
                                            absl::ToDoubleSeconds(waited), gap));
  if (rows.empty()) return std::optional<Preemption>();
  Preemption found;
  ASSIGN_OR_RETURN(found.urgent, UuidToId(rows[0]["urgent"].as<std::string>()));
  ASSIGN_OR_RETURN(found.running, UuidToId(rows[0]["running"].as<std::string>()));
  return std::optional(std::move(found));
}

absl::StatusOr<std::vector<JobId>> PgJobStore::Due(int64_t limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, Query(pool_, "due_jobs", sql::kDueJobs, limit));
  return ReadIds(rows);
}

absl::StatusOr<std::vector<JobId>> PgJobStore::LeasedBy(const std::string& worker,
                                                        const std::string& incarnation) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   Query(pool_, "leased_by", sql::kLeasedBy, worker, incarnation));
  return ReadIds(rows);
}

absl::StatusOr<std::vector<JobEvent>> PgJobStore::Events(const JobId& id, int64_t after,
                                                         int64_t limit) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   Query(pool_, "list_events", sql::kListEvents, Uuid(id), after, limit));
  return ReadAll(rows, &ReadEvent);
}

absl::StatusOr<std::vector<MetricPoint>> PgJobStore::Metrics(const JobId& id, int64_t after,
                                                             int64_t every_nth, int64_t limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, Query(pool_, "list_metrics", sql::kListMetrics, Uuid(id),
                                            after, every_nth < 1 ? int64_t{1} : every_nth, limit));
  return ReadAll(rows, &ReadMetric);
}

absl::StatusOr<std::vector<Checkpoint>> PgJobStore::Checkpoints(const JobId& id) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   Query(pool_, "list_checkpoints", sql::kListCheckpoints, Uuid(id)));
  return ReadAll(rows, &ReadCheckpoint);
}

absl::StatusOr<int64_t> PgJobStore::QueuePosition(const Job& job) {
  if (job.state != JobState::kQueued) return 0;
  ASSIGN_OR_RETURN(pqxx::result rows,
                   Query(pool_, "queue_position", sql::kQueuePosition, Uuid(job.id), kMostCounted));
  return rows[0]["position"].as<int64_t>();
}

absl::StatusOr<std::vector<QueueDepth>> PgJobStore::Depths() {
  ASSIGN_OR_RETURN(pqxx::result rows, Query(pool_, "depths", sql::kDepths));
  std::vector<QueueDepth> depths;
  for (const pqxx::row& row : rows) {
    QueueDepth depth;
    depth.state = ParseJobState(row["state"].as<std::string>()).value_or(JobState::kQueued);
    depth.queue = row["queue"].as<std::string>();
    depth.jobs = row["jobs"].as<int64_t>();
    depth.oldest = absl::Microseconds(row["oldest_us"].as<int64_t>());
    depths.push_back(std::move(depth));
  }
  return depths;
}

absl::StatusOr<MeasuredRate> PgJobStore::Rate(const std::string& base_digest) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   Query(pool_, "measured_rate", sql::kMeasuredRate, base_digest));
  return MeasuredRate{.jobs = rows[0]["jobs"].as<int64_t>(),
                      .tokens_per_second = rows[0]["rate"].as<double>(),
                      .tokens_per_second_lower = rows[0]["lower"].as<double>(),
                      .tokens_per_second_upper = rows[0]["upper"].as<double>(),
                      .tokens_per_row = rows[0]["tokens_per_row"].as<double>(),
                      .work_per_second = rows[0]["work_rate"].as<double>(),
                      .work_per_second_lower = rows[0]["work_lower"].as<double>(),
                      .work_per_second_upper = rows[0]["work_upper"].as<double>()};
}

absl::StatusOr<bool> PgJobStore::RefersTo(const std::string& project, const std::string& digest) {
  ASSIGN_OR_RETURN(pqxx::result rows, Query(pool_, "refers_to", sql::kRefersTo, project, digest));
  return rows[0]["found"].as<bool>();
}

absl::StatusOr<std::optional<MadeAdapter>> PgJobStore::FindAdapter(const std::string& project,
                                                                   const std::string& digest) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   Query(pool_, "find_adapter", sql::kFindAdapter, project, digest));
  if (rows.empty()) return std::nullopt;
  return MadeAdapter{rows[0]["adapter"].as<std::string>(), rows[0]["base"].as<std::string>()};
}

absl::StatusOr<Checkpoint> PgJobStore::PinCheckpoint(const JobId& id, int64_t step, bool pinned) {
  return pg::Transact(
      pool_, {.name = "pin_checkpoint"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Checkpoint> {
        // Pruning holds the same lock, so a checkpoint that is pinned is not pruned meanwhile.
        txn.exec_params(sql::kLockJob, Uuid(id));
        const pqxx::result rows = txn.exec_params(sql::kPinCheckpoint, Uuid(id), step, pinned);
        if (rows.empty()) {
          return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
                       absl::StrCat("job ", id, " has no checkpoint of step ", step));
        }
        return ReadCheckpoint(rows[0]);
      });
}

absl::StatusOr<std::vector<std::string>> PgJobStore::PruneCheckpoints(const JobId& id) {
  return pg::Transact(
      pool_, {.name = "prune_checkpoints"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<std::string>> {
        if (txn.exec_params(sql::kLockJob, Uuid(id)).empty()) {
          return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
                       absl::StrCat("no job ", id));
        }
        ASSIGN_OR_RETURN(
            std::vector<Checkpoint> checkpoints,
            ReadAll(txn.exec_params(sql::kListCheckpoints, Uuid(id)), &ReadCheckpoint));
        Pruning pruning = Prune(checkpoints);
        if (!pruning.steps.empty()) {
          std::vector<std::string> steps;
          for (const int64_t step : pruning.steps) steps.push_back(absl::StrCat(step));
          txn.exec_params(sql::kDeleteCheckpoints, Uuid(id), pg::ArrayLiteral(steps));
        }
        return std::move(pruning.released);
      });
}

absl::StatusOr<int64_t> PgJobStore::RemoveEnded(absl::Duration age, int64_t limit) {
  return pg::Transact(
      pool_, {.name = "remove_ended"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<int64_t> {
        return static_cast<int64_t>(
            txn.exec_params(sql::kRemoveEnded, absl::ToDoubleSeconds(age), limit).size());
      });
}

absl::Status PgJobStore::Forget(absl::Duration age) {
  return pg::Transact(pool_, {.name = "forget"}, [&](pqxx::transaction_base& txn) {
    txn.exec_params(sql::kRemoveForgotten, absl::ToDoubleSeconds(age));
    return absl::OkStatus();
  });
}

absl::StatusOr<WorkerLife> PgJobStore::SawWorker(const WorkerRecord& worker) {
  std::vector<std::string> kinds, types;
  for (const JobKind kind : worker.capabilities.kinds) kinds.emplace_back(Name(kind));
  for (const ComputeType type : worker.capabilities.compute_types) types.emplace_back(Name(type));
  return pg::Transact(
      pool_, {.name = "upsert_worker"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<WorkerLife> {
        const pqxx::result life = txn.exec_params(sql::kGetWorkerLife, worker.name);
        const auto is = [&](const char* column) {
          return !life.empty() && life[0][column].as<std::string>() == worker.incarnation;
        };
        if (is("previous_incarnation")) return WorkerLife::kReplaced;
        txn.exec_params(sql::kUpsertWorker, worker.name, worker.incarnation, worker.version,
                        worker.capabilities.device, worker.capabilities.memory_bytes,
                        worker.capabilities.threads, pg::ArrayLiteral(kinds),
                        pg::ArrayLiteral(worker.capabilities.queues), worker.capabilities.gang,
                        worker.usage.has_value() ? UsageToJson(*worker.usage) : "",
                        pg::ArrayLiteral(worker.capabilities.base_digests), pg::ArrayLiteral(types),
                        worker.only_project);
        return life.empty() || is("incarnation") ? WorkerLife::kSame : WorkerLife::kNew;
      });
}

absl::Status PgJobStore::WorkerLeft(const std::string& name, const std::string& incarnation,
                                    const std::string& project) {
  return pg::Transact(pool_, {.name = "worker_left"},
                      [&](pqxx::transaction_base& txn) -> absl::Status {
                        txn.exec_params(sql::kWorkerLeft, name, incarnation, project);
                        return absl::OkStatus();
                      });
}

absl::StatusOr<std::vector<WorkerRecord>> PgJobStore::Workers(const std::string& after,
                                                              int64_t limit) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   Query(pool_, "list_workers", sql::kListWorkers, after, limit));
  return ReadAll(rows, &ReadWorker);
}

}  // namespace crossover::scheduler
