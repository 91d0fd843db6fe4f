#include "services/training_scheduler/storage/job_row.h"

#include <cstring>
#include <optional>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/id/uuid7.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/storage/job_json.h"
#include "services/training_scheduler/storage/usage_json.h"

namespace crossover::scheduler {
namespace {

// The field of that name. To search its name in every row took longer than to read the row, so its
// place in the last result that had it is tried first. By address: all names are literals.
pqxx::field Field(const pqxx::row& row, const char* column) {
  static thread_local std::unordered_map<const char*, pqxx::row::size_type> places;
  pqxx::row::size_type& place = places[column];
  if (place < row.size()) {
    const pqxx::field field = row[place];
    if (std::strcmp(field.name(), column) == 0) return field;
  }
  place = row.column_number(column);
  return row[place];
}

std::string Text(const pqxx::row& row, const char* column) {
  const pqxx::field field = Field(row, column);
  return {field.c_str(), field.size()};  // of NULL: empty
}
bool IsNull(const pqxx::row& row, const char* column) { return Field(row, column).is_null(); }
int64_t Number(const pqxx::row& row, const char* column) {
  return Field(row, column).as<int64_t>(0);
}
int32_t SmallNumber(const pqxx::row& row, const char* column) {
  return Field(row, column).as<int32_t>();
}
absl::Time Time(const pqxx::row& row, const char* column) {
  return absl::FromUnixMicros(Field(row, column).as<int64_t>());
}
std::optional<absl::Time> MaybeTime(const pqxx::row& row, const char* column) {
  const pqxx::field field = Field(row, column);
  if (field.is_null()) return std::nullopt;
  return absl::FromUnixMicros(field.as<int64_t>());
}

// A value of an enum column; what the table's CHECK does not know cannot be there.
template <typename Enum>
absl::Status ReadEnum(const pqxx::row& row, const char* column,
                      std::optional<Enum> (*parse)(std::string_view), Enum& value) {
  const std::string text = Text(row, column);
  const std::optional<Enum> parsed = parse(text);
  if (!parsed.has_value()) {
    return absl::InternalError(absl::StrCat("column ", column, " holds '", text, "'"));
  }
  value = *parsed;
  return absl::OkStatus();
}

std::optional<LeaseRecord> ReadLease(const pqxx::row& row) {
  if (IsNull(row, "lease_token_hash")) return std::nullopt;
  return LeaseRecord{.token_hash = Text(row, "lease_token_hash"),
                     .worker = Text(row, "lease_worker"),
                     .incarnation = Text(row, "lease_incarnation"),
                     .grant_time = Time(row, "lease_grant_us"),
                     .expire_time = Time(row, "lease_expire_us"),
                     .last_worker_seq = Number(row, "lease_worker_seq"),
                     .asked_to_release = Field(row, "lease_release").as<bool>()};
}

void ReadTimes(const pqxx::row& row, Job& job) {
  job.start_time = MaybeTime(row, "start_us");
  job.deadline = MaybeTime(row, "deadline_us");
  job.create_time = Time(row, "create_us");
  job.update_time = Time(row, "update_us");
  job.run_time = MaybeTime(row, "run_us");
  job.ready_time = MaybeTime(row, "ready_us");
  job.finish_time = MaybeTime(row, "finish_us");
}

void ReadCounts(const pqxx::row& row, Job& job) {
  job.priority = SmallNumber(row, "priority");
  job.requirements.memory_bytes = Number(row, "required_memory");
  job.requirements.gang_size = SmallNumber(row, "gang_size");
  job.needed_memory_bytes = Number(row, "need_memory");
  job.max_failures = SmallNumber(row, "max_failures");
  job.lease_epoch = Number(row, "lease_epoch");
  job.failure_count = SmallNumber(row, "failure_count");
  job.lease_loss_count = SmallNumber(row, "lease_loss_count");
  job.last_checkpoint_step = Number(row, "last_checkpoint_step");
  job.checkpoint_step_at_loss = Number(row, "checkpoint_step_at_loss");
  job.last_event_sequence = Number(row, "last_event_sequence");
  job.revision = Number(row, "revision");
}

absl::Status ReadPlan(const pqxx::row& row, const KnownJob* known, Job& job) {
  if (known != nullptr) {
    job.spec = known->job.spec;
    job.resolved = known->job.resolved;
    job.inputs = known->job.inputs;
    job.estimate = known->job.estimate;
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(SpecFromJson(Text(row, "spec"), job.spec));
  return PlanFromJson(Text(row, "plan"), job);
}

}  // namespace

std::string Uuid(const JobId& id) {
  // An id that is not one finds nothing, like one that does not exist.
  return IdToUuid(id).value_or("00000000-0000-0000-0000-000000000000");
}

absl::StatusOr<Job> ReadJob(const pqxx::row& row) { return ReadJob(row, nullptr); }

absl::StatusOr<Job> ReadJob(const pqxx::row& row, const KnownJob* known) {
  Job job;
  ASSIGN_OR_RETURN(job.id, UuidToId(Text(row, "id")));
  job.project = Text(row, "project");
  job.display_name = Text(row, "display_name");
  job.task = Text(row, "task");
  job.base_model = Text(row, "base_model");
  job.dataset_version = Text(row, "dataset_version");
  job.queue = Text(row, "queue");
  job.state_reason = Text(row, "state_reason");
  job.last_checkpoint_digest = Text(row, "last_checkpoint_digest");
  job.worker = Text(row, "worker");
  job.requirements.device = Text(row, "need_device");
  RETURN_IF_ERROR(ReadEnum(row, "kind", &ParseJobKind, job.kind));
  RETURN_IF_ERROR(ReadEnum(row, "state", &ParseJobState, job.state));
  RETURN_IF_ERROR(StringsFromJson(Text(row, "labels"), job.labels));
  RETURN_IF_ERROR(ReadPlan(row, known, job));
  const std::vector<std::string> dependencies =
      absl::StrSplit(Text(row, "depends_on"), ',', absl::SkipEmpty());
  for (const std::string& uuid : dependencies) {
    ASSIGN_OR_RETURN(std::string id, UuidToId(uuid));
    job.depends_on.push_back(std::move(id));
  }
  ReadCounts(row, job);
  ReadTimes(row, job);
  job.lease = ReadLease(row);
  RETURN_IF_ERROR(ReportFromJson(Text(row, "report"), job));
  if (job.lease.has_value() && !IsNull(row, "lease_gang")) {
    RETURN_IF_ERROR(GangFromJson(Text(row, "lease_gang"), job.lease->gang));
    job.lease->rendezvous = Text(row, "lease_rendezvous");
  }
  return job;
}

absl::StatusOr<JobEvent> ReadEvent(const pqxx::row& row) {
  JobEvent event;
  event.sequence = Number(row, "sequence");
  event.time = Time(row, "time_us");
  RETURN_IF_ERROR(ReadEnum(row, "level", &ParseEventLevel, event.level));
  RETURN_IF_ERROR(ReadEnum(row, "type", &ParseEventType, event.type));
  event.message = Text(row, "message");
  event.data = Text(row, "data");
  event.epoch = Number(row, "epoch");
  event.worker_seq = Number(row, "worker_seq");
  return event;
}

absl::StatusOr<MetricPoint> ReadMetric(const pqxx::row& row) {
  MetricPoint point;
  point.step = Number(row, "step");
  point.time = Time(row, "time_us");
  point.epoch = Number(row, "epoch");
  RETURN_IF_ERROR(NumbersFromJson(Text(row, "metrics"), point.values));
  return point;
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const pqxx::row& row) {
  Checkpoint checkpoint;
  checkpoint.step = Number(row, "step");
  checkpoint.digest = Text(row, "digest");
  checkpoint.adapter_digest = Text(row, "adapter_digest");
  checkpoint.pinned = Field(row, "pinned").as<bool>();
  checkpoint.epoch = Number(row, "epoch");
  checkpoint.create_time = Time(row, "create_us");
  checkpoint.update_time = Time(row, "update_us");
  RETURN_IF_ERROR(NumbersFromJson(Text(row, "metrics"), checkpoint.metrics));
  return checkpoint;
}

absl::StatusOr<ModelVersion> ReadVersion(const pqxx::row& row) {
  ModelVersion version;
  version.project = Text(row, "project");
  version.model = Text(row, "model");
  version.digest = Text(row, "digest");
  RETURN_IF_ERROR(ReadEnum(row, "kind", &ParseModelKind, version.kind));
  version.architecture = Text(row, "architecture");
  version.base_digest = Text(row, "base_digest");
  version.tokenizer_digest = Text(row, "tokenizer_digest");
  version.template_digest = Text(row, "template_digest");
  version.parameters = Number(row, "parameters");
  version.bytes = Number(row, "bytes");
  version.hidden_size = Number(row, "hidden_size");
  version.context_length = Number(row, "context_length");
  version.source_job = Text(row, "source_job");
  version.dataset_version = Text(row, "dataset_version");
  version.task = Text(row, "task");
  version.licence = Text(row, "licence");
  version.alias = Text(row, "alias");
  version.ordinal = Number(row, "ordinal");
  version.create_time = Time(row, "create_us");
  return version;
}

absl::StatusOr<Model> ReadModel(const pqxx::row& row) {
  Model model;
  model.project = Text(row, "project");
  model.model = Text(row, "model");
  model.display_name = Text(row, "display_name");
  RETURN_IF_ERROR(StringsFromJson(Text(row, "labels"), model.labels));
  RETURN_IF_ERROR(ReadEnum(row, "kind", &ParseModelKind, model.kind));
  model.current_digest = Text(row, "current_digest");
  model.create_time = Time(row, "create_us");
  model.update_time = Time(row, "update_us");
  return model;
}

absl::StatusOr<WorkerRecord> ReadWorker(const pqxx::row& row) {
  WorkerRecord worker;
  worker.name = Text(row, "name");
  worker.incarnation = Text(row, "incarnation");
  worker.version = Text(row, "version");
  worker.capabilities.device = Text(row, "device");
  worker.capabilities.memory_bytes = Number(row, "memory_bytes");
  worker.capabilities.threads = SmallNumber(row, "threads");
  const std::vector<std::string> kinds = absl::StrSplit(Text(row, "kinds"), ',', absl::SkipEmpty());
  for (const std::string& kind : kinds) {
    if (const auto parsed = ParseJobKind(kind)) worker.capabilities.kinds.push_back(*parsed);
  }
  worker.capabilities.queues = absl::StrSplit(Text(row, "queues"), ',', absl::SkipEmpty());
  worker.capabilities.base_digests = absl::StrSplit(Text(row, "bases"), ',', absl::SkipEmpty());
  worker.capabilities.gang = SmallNumber(row, "gang");
  const std::vector<std::string> types =
      absl::StrSplit(Text(row, "compute_types"), ',', absl::SkipEmpty());
  for (const std::string& type : types) {
    if (const auto parsed = ParseComputeType(type))
      worker.capabilities.compute_types.push_back(*parsed);
  }
  worker.only_project = Text(row, "only_project");
  worker.create_time = Time(row, "create_us");
  worker.seen_time = Time(row, "seen_us");
  if (!IsNull(row, "job")) {
    ASSIGN_OR_RETURN(worker.job, UuidToId(Text(row, "job")));
    worker.project = Text(row, "project");
  }
  worker.silent = Field(row, "silent").as<bool>();
  if (!IsNull(row, "usage")) {
    ASSIGN_OR_RETURN(worker.usage, UsageFromJson(Text(row, "usage")));
    // The row's own is as old as the row.
    if (worker.usage->time == absl::UnixEpoch()) worker.usage->time = worker.seen_time;
  }
  return worker;
}

absl::StatusOr<std::vector<JobId>> ReadIds(const pqxx::result& rows) {
  std::vector<JobId> ids;
  for (const pqxx::row& row : rows) {
    ASSIGN_OR_RETURN(std::string id, UuidToId(Text(row, "id")));
    ids.push_back(std::move(id));
  }
  return ids;
}

}  // namespace crossover::scheduler
