#include "services/training_scheduler/domain/fake_job_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/empty_or_has.h"
#include "services/training_scheduler/domain/job_times.h"
#include "services/training_scheduler/domain/kept_checkpoints.h"

namespace crossover::scheduler {
namespace {

bool Passes(const Job& job, const JobFilter& filter) {
  for (const auto& [key, value] : filter.labels) {
    const auto found = job.labels.find(key);
    if (found == job.labels.end() || found->second != value) return false;
  }
  return EmptyOrHas(filter.states, job.state) &&
         (!filter.kind.has_value() || *filter.kind == job.kind) &&
         (filter.task.empty() || filter.task == job.task) &&
         (filter.base_model.empty() || filter.base_model == job.base_model) &&
         (filter.dataset_version.empty() || filter.dataset_version == job.dataset_version) &&
         (filter.queue.empty() || filter.queue == job.queue) &&
         (filter.adapter.empty() || filter.adapter == job.outputs.adapter_digest);
}

// As the table's constraints.
absl::Status KeptTimesError(const Job& job) {
  const auto is_kept = [](const std::optional<absl::Time>& time) {
    return !time.has_value() || IsOfCalendar(*time);
  };
  const char* constraint = !is_kept(job.start_time) ? "start_time_is_a_date"
                           : !is_kept(job.deadline) ? "deadline_is_a_date"
                                                    : nullptr;
  if (constraint == nullptr) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition,
               absl::StrCat("job ", job.id, " violates ", constraint),
               {.reason = "CONSTRAINT_VIOLATED",
                .metadata = {{"constraint", constraint}},
                .violations = {}});
}

}  // namespace

absl::StatusOr<FakeJobStore::Record*> FakeJobStore::Find(const JobId& id) {
  const auto found = records_.find(id);
  if (found == records_.end()) {
    return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", absl::StrCat("no job ", id));
  }
  return &found->second;
}

absl::StatusOr<Job> FakeJobStore::Apply(Record& record, const Mutation& mutation) {
  Job job = record.job;
  Effects effects;
  const absl::Time now = clock_.Now();
  RETURN_IF_ERROR(mutation(job, now, effects));
  RETURN_IF_ERROR(KeptTimesError(job));
  for (const ModelVersion& version : effects.models) {
    ASSIGN_OR_RETURN(ModelVersion stored, models_.RegisterMade(version, job));
    if (!version.alias.empty()) job.outputs.model_alias = stored.alias;
  }
  for (JobEvent& event : effects.events) {
    event.sequence = ++job.last_event_sequence;
    event.time = now;
    record.events.push_back(std::move(event));
  }
  for (MetricPoint& point : effects.metrics) {
    const auto [place, added] = record.metrics.try_emplace(point.step, point);
    if (!added && place->second.epoch <= point.epoch) place->second = std::move(point);
  }
  for (Checkpoint& checkpoint : effects.checkpoints) {
    Checkpoint& place = record.checkpoints[checkpoint.step];
    checkpoint.pinned = place.pinned;
    checkpoint.update_time = now;
    place = std::move(checkpoint);
  }
  if (effects.notable) job.update_time = now;
  job.revision += 1;
  record.job = std::move(job);
  if (effects.ended && webhooks_ != nullptr) webhooks_->JobEnded(record.job);
  return record.job;
}

absl::StatusOr<std::optional<Job>> FakeJobStore::Created(const std::string& project,
                                                         const RequestKey& key) {
  const auto known = requests_.find({project, key.id});
  if (known == requests_.end()) return std::optional<Job>();
  const auto& [hash, id] = known->second;
  if (hash == key.payload_hash) return std::optional(records_[id].job);
  return RequestIdReused(key.id, absl::StrCat("job ", id));
}

absl::StatusOr<std::optional<Job>> FakeJobStore::FindCreated(const std::string& project,
                                                             const RequestKey& key) {
  absl::MutexLock lock(&mutex_);
  return Created(project, key);
}

absl::StatusOr<Job> FakeJobStore::Insert(const Job& job, const RequestKey& key,
                                         const Mutation& mutation) {
  absl::MutexLock lock(&mutex_);
  if (!key.id.empty()) {
    ASSIGN_OR_RETURN(std::optional<Job> known, Created(job.project, key));
    if (known.has_value()) return *std::move(known);
  }
  Record record;
  record.job = job;
  record.job.create_time = clock_.Now();
  JobEvent created;
  created.type = EventType::kVerb;
  created.message = "created";
  created.sequence = ++record.job.last_event_sequence;
  created.time = clock_.Now();
  record.events.push_back(std::move(created));
  ASSIGN_OR_RETURN(Job stored, Apply(record, mutation));
  if (!key.id.empty()) requests_[{job.project, key.id}] = {key.payload_hash, job.id};
  records_[job.id] = std::move(record);
  return stored;
}

absl::StatusOr<Job> FakeJobStore::Get(const JobId& id) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Record * record, Find(id));
  return record->job;
}

absl::StatusOr<std::vector<Job>> FakeJobStore::List(const JobQuery& query) {
  absl::MutexLock lock(&mutex_);
  std::vector<Job> jobs;
  for (const auto& [id, record] : records_) {
    if (record.job.project == query.project && Passes(record.job, query.filter)) {
      jobs.push_back(record.job);
    }
  }
  if (!query.oldest_first) std::reverse(jobs.begin(), jobs.end());
  std::erase_if(jobs, [&](const Job& job) {
    if (query.after.empty()) return false;
    return query.oldest_first ? job.id <= query.after : job.id >= query.after;
  });
  if (static_cast<int64_t>(jobs.size()) > query.limit) jobs.resize(query.limit);
  return jobs;
}

absl::StatusOr<Job> FakeJobStore::Update(const JobId& id, const Mutation& mutation) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Record * record, Find(id));
  return Apply(*record, mutation);
}

std::vector<absl::StatusOr<Job>> FakeJobStore::UpdateAll(std::span<const JobUpdate> updates) {
  std::vector<absl::StatusOr<Job>> results;
  for (const JobUpdate& update : updates) results.push_back(Update(update.id, update.mutation));
  return results;
}

absl::StatusOr<Job> FakeJobStore::UpdateOnce(const JobId& id, const RequestKey& key,
                                             const Mutation& mutation) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Record * record, Find(id));
  if (key.id.empty()) return Apply(*record, mutation);
  const auto place = updates_.find({record->job.project, key.id});
  if (place == updates_.end()) {
    ASSIGN_OR_RETURN(Job job, Apply(*record, mutation));
    updates_[{job.project, key.id}] = key.payload_hash;
    return job;
  }
  if (place->second == key.payload_hash) return record->job;
  return RequestIdReused(key.id);
}

absl::StatusOr<std::vector<JobEvent>> FakeJobStore::Events(const JobId& id, int64_t after,
                                                           int64_t limit) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Record * record, Find(id));
  std::vector<JobEvent> events;
  for (const JobEvent& event : record->events) {
    if (event.sequence > after && static_cast<int64_t>(events.size()) < limit) {
      events.push_back(event);
    }
  }
  return events;
}

absl::StatusOr<std::vector<MetricPoint>> FakeJobStore::Metrics(const JobId& id, int64_t after,
                                                               int64_t every_nth, int64_t limit) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Record * record, Find(id));
  std::vector<MetricPoint> points;
  int64_t position = 0;
  for (const auto& [step, point] : record->metrics) {
    const bool wanted = position++ % std::max<int64_t>(1, every_nth) == 0;
    if (wanted && step > after && static_cast<int64_t>(points.size()) < limit) {
      points.push_back(point);
    }
  }
  return points;
}

absl::StatusOr<std::vector<Checkpoint>> FakeJobStore::Checkpoints(const JobId& id) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Record * record, Find(id));
  std::vector<Checkpoint> checkpoints;
  for (const auto& [step, checkpoint] : record->checkpoints) checkpoints.push_back(checkpoint);
  return checkpoints;
}

absl::StatusOr<bool> FakeJobStore::RefersTo(const std::string& project, const std::string& digest) {
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, record] : records_) {
    if (record.job.project != project) continue;
    const Outputs& outputs = record.job.outputs;
    if (outputs.adapter_digest == digest || outputs.artifact_digest == digest ||
        outputs.report_digest == digest) {
      return true;
    }
    for (const auto& [step, checkpoint] : record.checkpoints) {
      if (checkpoint.digest == digest || checkpoint.adapter_digest == digest) return true;
    }
  }
  return false;
}

absl::StatusOr<std::optional<MadeAdapter>> FakeJobStore::FindAdapter(const std::string& project,
                                                                     const std::string& digest) {
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, record] : records_) {
    if (digest.empty() || record.job.project != project) continue;
    const std::string& base = record.job.inputs.base_digest;
    if (record.job.outputs.adapter_digest == digest) return MadeAdapter{digest, base};
    for (const auto& [step, checkpoint] : record.checkpoints) {
      if (checkpoint.adapter_digest.empty()) continue;
      if (checkpoint.digest == digest || checkpoint.adapter_digest == digest)
        return MadeAdapter{checkpoint.adapter_digest, base};
    }
  }
  return std::nullopt;
}

absl::StatusOr<Checkpoint> FakeJobStore::PinCheckpoint(const JobId& id, int64_t step, bool pinned) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Record * record, Find(id));
  const auto found = record->checkpoints.find(step);
  if (found == record->checkpoints.end()) {
    return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
                 absl::StrCat("job ", id, " has no checkpoint of step ", step));
  }
  found->second.pinned = pinned;
  found->second.update_time = clock_.Now();
  return found->second;
}

absl::StatusOr<std::vector<std::string>> FakeJobStore::PruneCheckpoints(const JobId& id) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Record * record, Find(id));
  std::vector<Checkpoint> all;
  for (const auto& [step, checkpoint] : record->checkpoints) all.push_back(checkpoint);
  Pruning pruning = Prune(all);
  for (const int64_t step : pruning.steps) record->checkpoints.erase(step);
  return std::move(pruning.released);
}

}  // namespace crossover::scheduler
