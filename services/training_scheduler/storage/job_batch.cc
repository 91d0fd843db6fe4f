#include "services/training_scheduler/storage/job_batch.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/pg/transaction.h"
#include "services/training_scheduler/domain/webhook.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/insert_version.h"
#include "services/training_scheduler/storage/job_json.h"
#include "services/training_scheduler/storage/job_row.h"

namespace crossover::scheduler {
namespace {

std::string TextOf(absl::Time time) { return pg::ToTimestamp(time); }
std::string TextOf(const std::optional<absl::Time>& time) {
  return time.has_value() ? pg::ToTimestamp(*time) : "";
}

// A job's plan is set once, when its validation ends.
bool SettingsDiffer(const Job& before, const Job& job) {
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

template <size_t... Indices>
pqxx::result Execute(pqxx::transaction_base& txn, const char* sql,
                     const std::vector<ArrayColumn>& columns, std::index_sequence<Indices...>) {
  return txn.exec_params(sql, columns[Indices].Literal()...);
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

void JobBatch::AddColumns(const Job& job) {
  const bool leased = job.lease.has_value();
  const LeaseRecord lease = job.lease.value_or(LeaseRecord{});
  AddRow(columns_, Uuid(job.id), ReportToJson(job), std::string(Name(job.state)), job.state_reason,
         job.lease_epoch, int64_t{job.failure_count}, int64_t{job.lease_loss_count},
         job.last_checkpoint_step, job.checkpoint_step_at_loss, job.last_checkpoint_digest,
         job.worker, lease.token_hash, lease.worker, lease.incarnation,
         leased ? TextOf(lease.grant_time) : "", leased ? TextOf(lease.expire_time) : "",
         leased ? absl::StrCat(lease.last_worker_seq) : "", TextOf(job.update_time),
         TextOf(job.start_time), TextOf(job.run_time), TextOf(job.ready_time),
         TextOf(job.finish_time), TextOf(RankTime(job)), job.last_event_sequence, job.revision,
         int64_t{lease.asked_to_release}, GangToJson(lease.gang), lease.rendezvous);
}

void JobBatch::AddEvent(const std::string& uuid, const JobEvent& event) {
  AddRow(events_, uuid, event.sequence, TextOf(event.time), std::string(Name(event.level)),
         std::string(Name(event.type)), event.message, event.data, event.epoch, event.worker_seq);
  ++events_count_;
}

void JobBatch::Add(const Job& before, Job& job, Effects& effects, absl::Time now) {
  const std::string uuid = Uuid(job.id);
  for (JobEvent& event : effects.events) {
    event.sequence = ++job.last_event_sequence;
    event.time = now;
    AddEvent(uuid, event);
  }
  for (const ModelVersion& version : effects.models) {
    const std::string alias = InsertVersion(txn_, version);
    // What an earlier job made, byte for byte, keeps the alias it has.
    if (!version.alias.empty()) job.outputs.model_alias = alias;
  }
  if (effects.notable) job.update_time = now;
  notable_ |= effects.notable;
  job.revision += 1;
  if (SettingsDiffer(before, job)) {
    txn_.exec_params(sql::kUpdateSettings, uuid, job.display_name, StringsToJson(job.labels),
                     job.base_model, job.priority, job.queue, TextOf(job.deadline), PlanToJson(job),
                     job.needed_memory_bytes);
  }
  if (const auto event = WebhookEventOf(job); effects.ended && event.has_value()) {
    AddRow(ended_, job.project, uuid, *event);
    ended_time_ = TextOf(now);
  }
  AddColumns(job);
  ++jobs_;
  const auto places = [](const Job& it) {
    return it.lease.has_value() ? it.requirements.gang_size : 0;
  };
  if (places(before) != places(job)) leases_[job.project] += places(job) - places(before);
  if (effects.metrics.empty() && effects.checkpoints.empty()) return;
  for (MetricPoint& point : effects.metrics) {
    if (point.time == absl::Time()) point.time = now;
  }
  reported_.push_back({uuid, std::move(effects.metrics), std::move(effects.checkpoints)});
}

void JobBatch::CountLeases() {
  if (leases_.empty()) return;
  ArrayColumn projects, counts;
  for (const auto& [project, count] : leases_) {
    projects.Add(project);
    counts.Add(count);
  }
  txn_.exec_params(sql::kCountLeases, projects.Literal(), counts.Literal());
}

void JobBatch::Flush() {
  if (jobs_ > 0) Execute(txn_, sql::kUpdateJobs, columns_, std::make_index_sequence<28>());
  if (!ended_time_.empty()) {
    txn_.exec_params(sql::kInsertWebhookDeliveries, ended_[0].Literal(), ended_[1].Literal(),
                     ended_[2].Literal(), ended_time_);
  }
  if (events_count_ > 0) Execute(txn_, sql::kInsertEvents, events_, std::make_index_sequence<9>());
  for (const Reported& report : reported_) {
    for (const MetricPoint& point : report.metrics) {
      txn_.exec_params(sql::kUpsertMetric, report.uuid, point.step, pg::ToTimestamp(point.time),
                       point.epoch, NumbersToJson(point.values));
    }
    for (const Checkpoint& checkpoint : report.checkpoints) {
      txn_.exec_params(sql::kInsertCheckpoint, report.uuid, checkpoint.step, checkpoint.digest,
                       checkpoint.adapter_digest, checkpoint.epoch,
                       pg::ToTimestamp(checkpoint.create_time), NumbersToJson(checkpoint.metrics));
    }
  }
  CountLeases();  // last: every transaction of the project needs this row
}

}  // namespace crossover::scheduler
