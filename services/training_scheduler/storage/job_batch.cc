#include "services/training_scheduler/storage/job_batch.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/pg/transaction.h"
#include "services/training_scheduler/domain/made_model.h"
#include "services/training_scheduler/domain/webhook.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/insert_version.h"
#include "services/training_scheduler/storage/job_json.h"
#include "services/training_scheduler/storage/job_row.h"

namespace crossover::scheduler {
namespace {

int64_t LeasesOf(const Job& job) { return job.lease.has_value() ? job.requirements.gang_size : 0; }

// A job's plan is set once, when its validation ends.
bool SettingsDiffer(const JobBefore& before, const Job& job) {
  return before.state == JobState::kValidating || before.display_name != job.display_name ||
         before.labels != job.labels || before.base_model != job.base_model ||
         before.priority != job.priority || before.queue != job.queue ||
         before.deadline != job.deadline;
}

template <typename... Values>
void AddRow(std::vector<ArrayColumn>& columns, const Values&... values) {
  size_t column = 0;
  (columns[column++].Add(values), ...);
}

}  // namespace

void ArrayColumn::Separate() {
  if (text_.size() > 1) text_ += ',';
}

void ArrayColumn::Add(const std::string& value) {
  Separate();
  text_ += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') text_ += '\\';
    text_ += c;
  }
  text_ += '"';
}

void ArrayColumn::Add(int64_t value) {
  Separate();
  absl::StrAppend(&text_, value);
}

void ArrayColumn::AddNull() {
  Separate();
  text_ += "NULL";
}

JobBefore::JobBefore(const Job& job)
    : state(job.state),
      display_name(job.display_name),
      labels(job.labels),
      base_model(job.base_model),
      priority(job.priority),
      queue(job.queue),
      deadline(job.deadline),
      leases(LeasesOf(job)) {}

void JobBatch::AddColumns(const Job& job, const RowVersion& version) {
  const auto of_lease = [&](auto LeaseRecord::* member) {
    return job.lease.has_value() ? std::optional((*job.lease).*member) : std::nullopt;
  };
  const LeaseRecord none;
  const LeaseRecord& lease = job.lease.has_value() ? *job.lease : none;
  const std::string gang = GangToJson(lease.gang);
  AddRow(columns_, Uuid(job.id), ReportToJson(job), std::string(Name(job.state)), job.state_reason,
         job.lease_epoch, int64_t{job.failure_count}, int64_t{job.lease_loss_count},
         job.last_checkpoint_step, job.checkpoint_step_at_loss, job.last_checkpoint_digest,
         job.worker, of_lease(&LeaseRecord::token_hash), of_lease(&LeaseRecord::worker),
         of_lease(&LeaseRecord::incarnation), of_lease(&LeaseRecord::grant_time),
         of_lease(&LeaseRecord::expire_time), of_lease(&LeaseRecord::last_worker_seq),
         job.update_time, job.start_time, job.run_time, job.ready_time, job.finish_time,
         RankTime(job), job.last_event_sequence, job.revision, int64_t{lease.asked_to_release},
         gang.empty() ? std::nullopt : std::optional(gang), lease.rendezvous,
         version.empty() ? std::nullopt : std::optional(version));
}

void JobBatch::AddEvent(const std::string& uuid, const JobEvent& event) {
  AddRow(events_, uuid, event.sequence, event.time, std::string(Name(event.level)),
         std::string(Name(event.type)), event.message, event.data, event.epoch, event.worker_seq);
}

bool ChangesOnlyItsRow(const JobBefore& before, const Job& job, const Effects& effects) {
  return effects.models.empty() && effects.metrics.empty() && effects.checkpoints.empty() &&
         !SettingsDiffer(before, job);
}

void WriteBeside(pqxx::transaction_base& txn, const JobBefore& before, Job& job,
                 const Effects& effects) {
  for (ModelVersion version : effects.models) {
    NameMade(LockModel(txn, version.project, version.model), version, job);
    const std::string alias = InsertVersion(txn, version);
    // What an earlier job made, byte for byte, keeps the alias it has.
    if (!version.alias.empty()) job.outputs.model_alias = alias;
  }
  if (!SettingsDiffer(before, job)) return;
  txn.exec_params(sql::kUpdateSettings, Uuid(job.id), job.display_name, StringsToJson(job.labels),
                  job.base_model, job.priority, job.queue,
                  job.deadline.has_value() ? pg::ToTimestamp(*job.deadline) : "", PlanToJson(job),
                  job.needed_memory_bytes);
}

void JobBatch::Add(const JobBefore& before, Job& job, Effects& effects, absl::Time now,
                   const RowVersion& version) {
  const std::string uuid = Uuid(job.id);
  for (JobEvent& event : effects.events) {
    event.sequence = ++job.last_event_sequence;
    event.time = now;
    AddEvent(uuid, event);
  }
  if (effects.notable) job.update_time = now;
  notable_ |= effects.notable;
  job.revision += 1;
  if (const auto event = WebhookEventOf(job); effects.ended && event.has_value()) {
    AddRow(ended_, job.project, uuid, *event, now);
  }
  AddColumns(job, version);
  ++jobs_;
  if (const int64_t more = LeasesOf(job) - before.leases; more != 0) leases_[job.project] += more;
  if (effects.metrics.empty() && effects.checkpoints.empty()) return;
  for (MetricPoint& point : effects.metrics) {
    if (point.time == absl::Time()) point.time = now;
  }
  reported_.push_back({uuid, std::move(effects.metrics), std::move(effects.checkpoints)});
}

void JobBatch::WriteReported(pqxx::transaction_base& txn) {
  for (const Reported& report : reported_) {
    for (const MetricPoint& point : report.metrics) {
      txn.exec_params(sql::kUpsertMetric, report.uuid, point.step, pg::ToTimestamp(point.time),
                      point.epoch, NumbersToJson(point.values));
    }
    for (const Checkpoint& checkpoint : report.checkpoints) {
      txn.exec_params(sql::kInsertCheckpoint, report.uuid, checkpoint.step, checkpoint.digest,
                      checkpoint.adapter_digest, checkpoint.epoch,
                      pg::ToTimestamp(checkpoint.create_time), NumbersToJson(checkpoint.metrics));
    }
  }
}

JobBatch::Written JobBatch::Flush(pqxx::transaction_base& txn, bool notify) {
  WriteReported(txn);
  std::vector<ArrayColumn> shares(2);
  for (const auto& [project, change] : leases_) AddRow(shares, project, change);
  std::vector<std::string> values;
  for (const auto* columns : {&columns_, &events_, &ended_, &shares}) {
    for (const ArrayColumn& column : *columns) values.push_back(column.Literal());
  }
  values.emplace_back(notify ? "true" : "false");
  const pqxx::result written =
      pg::ExecPrepared(txn, sql::kWriteJobs, pqxx::prepare::make_dynamic_params(values));
  return {.version = written[0]["version"].as<std::string>(),
          .now = absl::FromUnixMicros(written[0]["now_us"].as<int64_t>())};
}

}  // namespace crossover::scheduler
