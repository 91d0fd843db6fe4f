#include "common/pg/transaction.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/store_errors.h"
#include "services/data_curation/storage/embedded_sql.h"
#include "services/data_curation/storage/pg_curation_store.h"
#include "services/data_curation/storage/pg_rows.h"

namespace crossover::curation {
namespace {

absl::StatusOr<RunRecord> GetRunIn(pqxx::transaction_base& txn, const std::string& project,
                                   const std::string& id, const char* query = sql::kGetRun) {
  const pqxx::result rows = txn.exec_params(query, project, UuidOf(id));
  if (rows.empty()) return NotFound("run", id);
  return ReadRun(rows[0]);
}

void AddEvent(pqxx::transaction_base& txn, const std::string& project, const std::string& id,
              const std::string& type, const std::string& message, const std::string& data = "{}") {
  txn.exec_params(sql::kAddEvent, project, UuidOf(id), type, message, data);
}

// Applies `change`, a statement on (project, id), to the locked run and notes its new state.
absl::StatusOr<RunRecord> Move(pqxx::transaction_base& txn, const RunRecord& run,
                               const char* change, RunState to) {
  txn.exec_params(change, run.project, UuidOf(run.id));
  AddEvent(txn, run.project, run.id, "state_changed", std::string(Name(to)));
  return GetRunIn(txn, run.project, run.id);
}

}  // namespace

absl::StatusOr<RunRecord> PgCurationStore::CreateRun(const RunRecord& run, const RequestKey& key) {
  return pg::Transact(
      pool_, {.name = "create_run"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<RunRecord> {
        ASSIGN_OR_RETURN(const std::string earlier, NoteRequest(txn, run.project, key, run.id));
        if (!earlier.empty()) return GetRunIn(txn, run.project, earlier);
        if (txn.exec_params(sql::kGetDataset, run.project, run.dataset).empty())
          return NotFound("data set", run.dataset);
        txn.exec_params(sql::kInsertRun, run.project, run.dataset, UuidOf(run.id),
                        run.recipe_digest, DetailsToJson(run));
        AddEvent(txn, run.project, run.id, "state_changed", "QUEUED");
        return GetRunIn(txn, run.project, run.id);
      });
}

absl::StatusOr<RunRecord> PgCurationStore::GetRun(const std::string& project,
                                                  const std::string& id) {
  return pg::Transact(pool_, {.name = "get_run", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return GetRunIn(txn, project, id); });
}

absl::StatusOr<Page<RunRecord>> PgCurationStore::ListRuns(const PageQuery& query) {
  ASSIGN_OR_RETURN(const Position after, ParsePosition(query.after));
  return pg::Transact(
      pool_, {.name = "list_runs", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Page<RunRecord>> {
        Page<RunRecord> page;
        const std::string last = after.key.empty() ? "" : UuidOf(after.key);
        for (const pqxx::row& row : txn.exec_params(sql::kListRuns, query.project, query.parent,
                                                    after.micros, last, query.limit)) {
          ASSIGN_OR_RETURN(RunRecord run, ReadRun(row));
          page.positions.push_back(MakePosition(run.create_time, run.id));
          page.records.push_back(std::move(run));
        }
        return page;
      });
}

absl::StatusOr<RunRecord> PgCurationStore::CancelRun(const std::string& project,
                                                     const std::string& id) {
  return pg::Transact(pool_, {.name = "cancel_run"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<RunRecord> {
                        ASSIGN_OR_RETURN(RunRecord run, GetRunIn(txn, project, id, sql::kLockRun));
                        if (run.state == RunState::kCancelled) return run;
                        if (IsTerminal(run.state))
                          return RunStateInvalid(run, "Cancel", "QUEUED, RUNNING or NEEDS_REVIEW");
                        return Move(txn, run, sql::kCancelRun, RunState::kCancelled);
                      });
}

absl::StatusOr<RunRecord> PgCurationStore::ResumeRun(const std::string& project,
                                                     const std::string& id) {
  return pg::Transact(pool_, {.name = "resume_run"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<RunRecord> {
                        ASSIGN_OR_RETURN(RunRecord run, GetRunIn(txn, project, id, sql::kLockRun));
                        if (run.state != RunState::kFailed && run.state != RunState::kCancelled) {
                          return RunStateInvalid(run, "Resume", "FAILED or CANCELLED");
                        }
                        return Move(txn, run, sql::kResumeRun, RunState::kQueued);
                      });
}

absl::StatusOr<std::optional<RunRecord>> PgCurationStore::ClaimRun(const std::string& worker,
                                                                   absl::Duration ttl) {
  return pg::Transact(
      pool_, {.name = "claim_run"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::optional<RunRecord>> {
        const pqxx::result claimed =
            txn.exec_params(sql::kClaimRun, worker, absl::ToDoubleSeconds(ttl));
        if (claimed.empty()) return std::optional<RunRecord>();
        const std::string project = claimed[0]["project"].c_str();
        const std::string uuid = claimed[0]["id"].c_str();
        txn.exec_params(sql::kAddEvent, project, uuid, "state_changed", "RUNNING", "{}");
        ASSIGN_OR_RETURN(RunRecord run, ReadRun(txn.exec_params1(sql::kGetRun, project, uuid)));
        return std::optional<RunRecord>(std::move(run));
      });
}

absl::Status PgCurationStore::RenewRun(const RunRecord& run, absl::Duration ttl) {
  return pg::Transact(
      pool_, {.name = "renew_run"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        const pqxx::result renewed = txn.exec_params(sql::kRenewRun, run.project, UuidOf(run.id),
                                                     run.lease_epoch, absl::ToDoubleSeconds(ttl));
        return renewed.empty() ? RunLeaseLost(run.id) : absl::OkStatus();
      });
}

absl::Status PgCurationStore::RecordStep(const RunRecord& run, const FunnelStep& step) {
  return pg::Transact(
      pool_, {.name = "record_step"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        const std::string json = FunnelStepToJson(step);
        const pqxx::result recorded =
            txn.exec_params(sql::kRecordStep, run.project, UuidOf(run.id), run.lease_epoch, json,
                            static_cast<int64_t>(run.funnel.size()));
        if (recorded.empty()) return RunLeaseLost(run.id);
        if (recorded[0]["fresh"].as<bool>())
          AddEvent(txn, run.project, run.id, "stage_finished", step.stage, json);
        return absl::OkStatus();
      });
}

absl::Status PgCurationStore::FinishRun(const RunRecord& run) {
  return pg::Transact(
      pool_, {.name = "finish_run"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        const pqxx::result finished = txn.exec_params(
            sql::kFinishRun, run.project, UuidOf(run.id), run.lease_epoch,
            std::string(Name(run.state)), run.state_reason, run.error_reason, DetailsToJson(run));
        if (finished.empty()) return RunLeaseLost(run.id);
        AddEvent(txn, run.project, run.id, "state_changed", std::string(Name(run.state)));
        return absl::OkStatus();
      });
}

absl::StatusOr<std::vector<RunEvent>> PgCurationStore::ListRunEvents(const std::string& project,
                                                                     const std::string& id,
                                                                     int64_t after, int limit) {
  return pg::Transact(
      pool_, {.name = "list_run_events", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<RunEvent>> {
        RETURN_IF_ERROR(GetRunIn(txn, project, id).status());
        std::vector<RunEvent> events;
        for (const pqxx::row& row :
             txn.exec_params(sql::kListEvents, project, UuidOf(id), after, limit)) {
          events.push_back({row["sequence"].as<int64_t>(),
                            absl::FromUnixMicros(row["time_us"].as<int64_t>()), row["type"].c_str(),
                            row["message"].c_str(), row["data"].c_str()});
        }
        return events;
      });
}

absl::StatusOr<std::optional<StepCache::Entry>> PgCurationStore::FindStep(const std::string& key) {
  return pg::Transact(pool_, {.name = "find_step", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::optional<Entry>> {
                        const pqxx::result rows = txn.exec_params(sql::kFindStep, key);
                        if (rows.empty()) return std::optional<Entry>();
                        ASSIGN_OR_RETURN(FunnelStep step,
                                         FunnelStepFromJson(rows[0]["funnel"].c_str()));
                        return std::optional<Entry>({rows[0]["digest"].c_str(), std::move(step)});
                      });
}

absl::Status PgCurationStore::PutStep(const std::string& key, const Entry& entry) {
  return pg::Transact(
      pool_, {.name = "put_step"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        txn.exec_params(sql::kPutStep, key, entry.digest, FunnelStepToJson(entry.step));
        return absl::OkStatus();
      });
}

}  // namespace crossover::curation
