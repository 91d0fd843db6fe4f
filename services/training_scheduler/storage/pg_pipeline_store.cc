#include "services/training_scheduler/storage/pg_pipeline_store.h"

#include <map>
#include <utility>

#include "common/id/request_id.h"
#include "common/id/uuid7.h"
#include "common/pg/transaction.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/pipeline_errors.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/job_json.h"
#include "services/training_scheduler/storage/job_row.h"

namespace crossover::scheduler {
namespace {

absl::StatusOr<Pipeline> ReadPipeline(const pqxx::row& row) {
  Pipeline pipeline;
  ASSIGN_OR_RETURN(pipeline.id, UuidToId(row["id"].as<std::string>()));
  pipeline.project = row["project"].as<std::string>();
  RETURN_IF_ERROR(StringsFromJson(row["labels"].as<std::string>(), pipeline.labels));
  // The table's CHECK knows no other names; so it is below.
  pipeline.state =
      ParsePipelineState(row["state"].as<std::string>()).value_or(PipelineState::kRunning);
  pipeline.create_time = absl::FromUnixMicros(row["create_us"].as<int64_t>());
  pipeline.update_time = absl::FromUnixMicros(row["update_us"].as<int64_t>());
  return pipeline;
}

PipelineStep ReadStep(const pqxx::row& row) {
  PipelineStep step;
  step.id = row["step"].as<std::string>();
  step.kind = ParseStepKind(row["kind"].as<std::string>()).value_or(StepKind::kJob);
  step.resource = row["resource"].as<std::string>();
  step.state = ParsePipelineState(row["state"].as<std::string>()).value_or(PipelineState::kPending);
  step.attempt = row["attempt"].as<int32_t>();
  step.go_on = row["go_on"].as<bool>();
  step.created = row["created"].as<std::string>();
  step.output = row["output"].as<std::string>();
  step.error = row["error"].as<std::string>();
  return step;
}

// The pipelines of the rows with their steps, in the rows' order.
absl::StatusOr<std::vector<Pipeline>> ReadPipelines(pqxx::transaction_base& txn,
                                                    const pqxx::result& rows) {
  ASSIGN_OR_RETURN(std::vector<Pipeline> pipelines, ReadAll(rows, &ReadPipeline));
  std::map<std::string, Pipeline*> by_uuid;
  std::vector<std::string> uuids;
  for (Pipeline& pipeline : pipelines) {
    uuids.push_back(Uuid(pipeline.id));
    by_uuid[uuids.back()] = &pipeline;
  }
  for (const pqxx::row& row : txn.exec_params(sql::kListPipelineSteps, pg::ArrayLiteral(uuids))) {
    by_uuid.at(row["pipeline_id"].as<std::string>())->steps.push_back(ReadStep(row));
  }
  return pipelines;
}

absl::StatusOr<Pipeline> FindPipeline(pqxx::transaction_base& txn, const std::string& project,
                                      const std::string& id) {
  ASSIGN_OR_RETURN(std::vector<Pipeline> found,
                   ReadPipelines(txn, txn.exec_params(sql::kListPipelines, project, Uuid(id), "",
                                                      "", "{}", "", 1)));
  if (found.empty()) return NoPipeline(id);
  return std::move(found[0]);
}

void WriteSteps(pqxx::transaction_base& txn, const Pipeline& pipeline) {
  int position = 0;
  for (const PipelineStep& step : pipeline.steps) {
    txn.exec_params(sql::kUpsertPipelineStep, Uuid(pipeline.id), position++, step.id,
                    std::string(Name(step.kind)), step.resource, std::string(Name(step.state)),
                    step.attempt, step.go_on, step.created, step.output, step.error);
  }
}

}  // namespace

absl::StatusOr<Pipeline> PgPipelineStore::Insert(const Pipeline& pipeline, const RequestKey& key) {
  return pg::Transact(
      pool_, {.name = "insert_pipeline"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Pipeline> {
        if (!txn.exec_params(sql::kInsertPipeline, Uuid(pipeline.id), pipeline.project, key.id,
                             key.payload_hash, StringsToJson(pipeline.labels),
                             std::string(Name(pipeline.state)))
                 .empty()) {
          WriteSteps(txn, pipeline);
          return FindPipeline(txn, pipeline.project, pipeline.id);
        }
        const pqxx::result known =
            txn.exec_params(sql::kListPipelines, pipeline.project, "", key.id, "", "{}", "", 1);
        if (known.empty()) return NoPipeline(pipeline.id);
        if (known[0]["payload_hash"].as<std::string>() != key.payload_hash) {
          return RequestIdReused(key.id);
        }
        ASSIGN_OR_RETURN(std::vector<Pipeline> found, ReadPipelines(txn, known));
        return std::move(found[0]);
      });
}

absl::StatusOr<Pipeline> PgPipelineStore::Get(const std::string& project, const std::string& id) {
  return pg::Transact(pool_, {.name = "get_pipeline", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return FindPipeline(txn, project, id); });
}

absl::StatusOr<std::vector<Pipeline>> PgPipelineStore::List(const PipelineQuery& query) {
  return pg::Transact(
      pool_, {.name = "list_pipelines", .read_only = true}, [&](pqxx::transaction_base& txn) {
        return ReadPipelines(
            txn, txn.exec_params(sql::kListPipelines, query.project, "", "",
                                 query.state.has_value() ? std::string(Name(*query.state)) : "",
                                 StringsToJson(query.labels),
                                 query.before.empty() ? "" : Uuid(query.before), query.limit));
      });
}

absl::StatusOr<Pipeline> PgPipelineStore::Update(const std::string& project, const std::string& id,
                                                 const Mutation& mutation) {
  return pg::Transact(pool_, {.name = "update_pipeline"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Pipeline> {
                        if (txn.exec_params(sql::kLockPipeline, project, Uuid(id)).empty())
                          return NoPipeline(id);
                        ASSIGN_OR_RETURN(Pipeline pipeline, FindPipeline(txn, project, id));
                        ASSIGN_OR_RETURN(bool changed, mutation(pipeline));
                        if (!changed) return pipeline;
                        txn.exec_params(sql::kUpdatePipeline, Uuid(id),
                                        std::string(Name(pipeline.state)),
                                        DueStep(pipeline).has_value());
                        WriteSteps(txn, pipeline);
                        return FindPipeline(txn, project, id);
                      });
}

absl::StatusOr<std::optional<Pipeline>> PgPipelineStore::Claim(absl::Duration pause) {
  return pg::Transact(
      pool_, {.name = "claim_pipeline"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::optional<Pipeline>> {
        const pqxx::result claimed =
            txn.exec_params(sql::kClaimPipeline, absl::ToDoubleSeconds(pause));
        if (claimed.empty()) return std::optional<Pipeline>();
        ASSIGN_OR_RETURN(std::string id, UuidToId(claimed[0]["id"].as<std::string>()));
        ASSIGN_OR_RETURN(Pipeline pipeline,
                         FindPipeline(txn, claimed[0]["project"].as<std::string>(), id));
        return std::optional(std::move(pipeline));
      });
}

absl::StatusOr<int64_t> PgPipelineStore::RemoveEnded(absl::Duration age, int64_t limit) {
  return pg::Transact(
      pool_, {.name = "remove_ended_pipelines"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<int64_t> {
        return static_cast<int64_t>(
            txn.exec_params(sql::kRemoveEndedPipelines, absl::ToDoubleSeconds(age), limit).size());
      });
}

}  // namespace crossover::scheduler
