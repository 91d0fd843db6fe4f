#include "services/training_scheduler/domain/fake_job_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/compute_types.h"
#include "services/training_scheduler/domain/gang.h"
#include "services/training_scheduler/domain/kept_checkpoints.h"
#include "services/training_scheduler/domain/prefer_bases.h"
#include "services/training_scheduler/domain/state_machine.h"

namespace crossover::scheduler {
namespace {

template <typename T>
bool EmptyOrHas(const std::vector<T>& values, const T& value) {
  return values.empty() || std::find(values.begin(), values.end(), value) != values.end();
}

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

// Whether the claimants may have the job, were they enough.
bool Fits(const Job& job, const ClaimRequest& request) {
  const Capabilities& has = request.capabilities;
  const std::string& device = job.requirements.device;
  return (request.project.empty() || request.project == job.project) &&
         EmptyOrHas(has.kinds, job.kind) && EmptyOrHas(has.queues, job.queue) &&
         (device.empty() || has.device.empty() || device == has.device) &&
         (has.memory_bytes == 0 || job.needed_memory_bytes <= has.memory_bytes);
}

bool ClaimedBefore(const Job& a, const Job& b) {
  return std::pair(RankTime(a), a.id) < std::pair(RankTime(b), b.id);
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
  return RequestIdReused(key.id, absl::StrCat("created job ", id));
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
  return RequestIdReused(key.id, "was used before");
}

absl::StatusOr<std::vector<Job>> FakeJobStore::ClaimGang(const ClaimRequest& request) {
  absl::MutexLock lock(&mutex_);
  std::map<std::string, int32_t> held;
  Record* first = nullptr;
  const std::vector<int64_t> limits = GangLimits(request.claimants, false);
  const std::vector<int64_t> limits_of_float32 = GangLimits(request.claimants, true);
  ClaimRequest any_memory = request;
  any_memory.capabilities.memory_bytes = 0;
  for (auto& [id, record] : records_) {
    if (record.job.lease.has_value()) held[record.job.project] += record.job.requirements.gang_size;
  }
  for (auto& [id, record] : records_) {
    const int32_t size = record.job.requirements.gang_size;
    const auto quota = quotas_.find(record.job.project);
    const bool fits =
        record.job.state == JobState::kQueued && size > 1 && size <= std::ssize(limits) &&
        record.job.needed_memory_bytes <= (AsksFloat32(record.job) ? limits_of_float32 : limits)
                                              .at(static_cast<size_t>(size - 1)) &&
        Fits(record.job, any_memory) &&
        (quota == quotas_.end() || held[record.job.project] + size <= quota->second);
    if (fits && (first == nullptr || ClaimedBefore(record.job, first->job))) first = &record;
  }
  if (first == nullptr) return std::vector<Job>();
  ASSIGN_OR_RETURN(Job job, Apply(*first, [&](Job& mine, absl::Time now, Effects& effects) {
                     return Grant(mine, GangLease(request, mine, now), now, effects);
                   }));
  first->metrics.erase(first->metrics.upper_bound(job.last_checkpoint_step), first->metrics.end());
  return std::vector<Job>{std::move(job)};
}

absl::Status FakeJobStore::SetQuota(const std::string& project, std::optional<int32_t> leases) {
  absl::MutexLock lock(&mutex_);
  quotas_.erase(project);
  if (leases.has_value()) quotas_[project] = *leases;
  return absl::OkStatus();
}

std::vector<const Job*> FakeJobStore::Fitting(const ClaimRequest& request) {
  std::vector<const Job*> fitting;
  for (const auto& [id, record] : records_) {
    if (record.job.state == JobState::kQueued && record.job.requirements.gang_size == 1 &&
        Fits(record.job, request)) {
      fitting.push_back(&record.job);
    }
  }
  std::sort(fitting.begin(), fitting.end(),
            [](const Job* a, const Job* b) { return ClaimedBefore(*a, *b); });
  return fitting;
}

std::vector<const Job*> FakeJobStore::InLine(const std::vector<const Job*>& fitting) {
  std::map<std::string, int32_t> turns;  // leases that a project would hold with its next job
  for (const auto& [id, record] : records_) {
    if (record.job.lease.has_value()) {
      turns[record.job.project] += record.job.requirements.gang_size;
    }
  }
  std::vector<std::pair<int32_t, const Job*>> line;
  for (const Job* job : fitting) {
    const int32_t turn = ++turns[job->project];
    const auto quota = quotas_.find(job->project);
    if (quota == quotas_.end() || turn <= quota->second) line.emplace_back(turn, job);
  }
  std::stable_sort(line.begin(), line.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<const Job*> ready;
  for (const auto& [turn, job] : line) ready.push_back(job);
  return ready;
}

absl::StatusOr<std::vector<Job>> FakeJobStore::Claim(const ClaimRequest& request) {
  absl::MutexLock lock(&mutex_);
  const std::vector<const Job*> fitting = Fitting(request);
  std::vector<const Job*> taken = InLine(fitting);
  taken.resize(std::min(taken.size(), request.claimants.size()));
  std::vector<Job> claimed;
  for (const auto& [chosen, place] : PreferBases(std::move(taken), fitting, request.claimants)) {
    const Claimant& claimant = request.claimants[place];
    Record& record = records_.at(chosen->id);
    ASSIGN_OR_RETURN(Job job, Apply(record, [&](Job& mine, absl::Time now, Effects& effects) {
                       return Grant(mine,
                                    {claimant.token_hash, claimant.worker, claimant.incarnation,
                                     now, now + request.ttl, 0},
                                    now, effects);
                     }));
    record.metrics.erase(record.metrics.upper_bound(job.last_checkpoint_step),
                         record.metrics.end());
    claimed.push_back(std::move(job));
  }
  return claimed;
}

absl::StatusOr<std::optional<Preemption>> FakeJobStore::FindPreemption(absl::Duration waited,
                                                                       int32_t gap) {
  absl::MutexLock lock(&mutex_);
  std::vector<const Job*> waiting, running;
  for (const auto& [id, record] : records_) {
    const Job& job = record.job;
    if (job.lease.has_value() && job.lease->asked_to_release) return std::optional<Preemption>();
    if (job.state == JobState::kQueued && job.priority > 0 &&
        *job.ready_time + waited <= clock_.Now()) {
      waiting.push_back(&job);
    }
    if (job.state == JobState::kRunning) running.push_back(&job);
  }
  std::sort(waiting.begin(), waiting.end(),
            [](const Job* a, const Job* b) { return ClaimedBefore(*a, *b); });
  std::sort(running.begin(), running.end(), [](const Job* a, const Job* b) {
    return std::pair(a->priority, b->lease->grant_time) <
           std::pair(b->priority, a->lease->grant_time);
  });
  for (const Job* urgent : waiting) {
    for (const Job* held : running) {
      const auto worker = workers_.find(held->lease->worker);
      if (held->priority + gap <= urgent->priority && worker != workers_.end() &&
          Fits(*urgent, {.capabilities = worker->second.capabilities})) {
        return std::optional(Preemption{urgent->id, held->id});
      }
    }
  }
  return std::optional<Preemption>();
}

absl::StatusOr<std::vector<JobId>> FakeJobStore::Due(int64_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<std::pair<int, JobId>> due;
  for (const auto& [id, record] : records_) {
    if (const std::optional<int> rank = DueRank(record.job)) due.emplace_back(*rank, id);
  }
  std::sort(due.begin(), due.end());
  if (static_cast<int64_t>(due.size()) > limit) due.resize(limit);
  std::vector<JobId> ids;
  for (auto& [rank, id] : due) ids.push_back(std::move(id));
  return ids;
}

std::optional<int> FakeJobStore::DueRank(const Job& job) {
  const absl::Time now = clock_.Now();
  if (job.lease.has_value() && job.lease->expire_time < now) return 0;
  const bool ending = job.state == JobState::kPausing || job.state == JobState::kCancelling;
  if (job.deadline.has_value() && *job.deadline <= now && !job.finish_time.has_value() && !ending) {
    return 1;
  }
  const bool started = !job.start_time.has_value() || *job.start_time <= now;
  if (job.state == JobState::kBlocked && started && !WaitsForDependency(job)) return 2;
  return job.state == JobState::kValidating ? std::optional(3) : std::nullopt;
}

bool FakeJobStore::WaitsForDependency(const Job& job) {
  bool waits = false;
  for (const JobId& id : job.depends_on) {
    const auto found = records_.find(id);
    if (found == records_.end()) continue;
    const JobState state = found->second.job.state;
    if (state == JobState::kFailed || state == JobState::kCancelled) return false;
    waits |= state != JobState::kSucceeded;
  }
  return waits;
}

absl::StatusOr<std::vector<JobId>> FakeJobStore::LeasedBy(const std::string& worker,
                                                          const std::string& incarnation) {
  absl::MutexLock lock(&mutex_);
  std::vector<JobId> ids;
  for (const auto& [id, record] : records_) {
    if (HeldBy(record.job, worker, incarnation)) ids.push_back(id);
  }
  return ids;
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

absl::StatusOr<int64_t> FakeJobStore::QueuePosition(const Job& job) {
  if (job.state != JobState::kQueued) return 0;
  absl::MutexLock lock(&mutex_);
  int64_t position = 1;
  for (const auto& [id, record] : records_) {
    if (record.job.state == JobState::kQueued && record.job.queue == job.queue &&
        ClaimedBefore(record.job, job)) {
      ++position;
    }
  }
  return position;
}

absl::StatusOr<std::vector<QueueDepth>> FakeJobStore::Depths() {
  absl::MutexLock lock(&mutex_);
  std::map<std::pair<JobState, std::string>, QueueDepth> depths;
  for (const auto& [id, record] : records_) {
    const Job& job = record.job;
    QueueDepth& depth = depths[{job.state, job.queue}];
    depth.state = job.state;
    depth.queue = job.queue;
    depth.jobs += 1;
    if (job.state == JobState::kQueued && job.ready_time.has_value()) {
      depth.oldest = std::max(depth.oldest, clock_.Now() - *job.ready_time);
    }
  }
  std::vector<QueueDepth> list;
  for (auto& [key, depth] : depths) list.push_back(depth);
  return list;
}

absl::StatusOr<MeasuredRate> FakeJobStore::Rate(const std::string& base_digest) {
  absl::MutexLock lock(&mutex_);
  MeasuredRate rate;
  double seconds = 0, tokens = 0, rows = 0, work = 0, work_seconds = 0;
  for (const auto& [id, record] : records_) {
    const Job& job = record.job;
    if (job.state != JobState::kSucceeded || job.kind == JobKind::kExport ||
        job.kind == JobKind::kSweep || job.inputs.base_digest != base_digest ||
        job.actual.seconds <= 0 || job.actual.tokens <= 0) {
      continue;
    }
    const double taken = job.actual.seconds * job.requirements.gang_size;
    const double own = static_cast<double>(job.actual.tokens) / taken;
    rate.tokens_per_second_lower =
        rate.jobs == 0 ? own : std::min(own, rate.tokens_per_second_lower);
    rate.tokens_per_second_upper = std::max(own, rate.tokens_per_second_upper);
    rate.jobs += 1;
    seconds += taken;
    tokens += static_cast<double>(job.actual.tokens);
    rows += static_cast<double>(job.resolved.steps * job.resolved.batch_size);
    const double done = job.resolved.steps == 0 ? 0
                                                : static_cast<double>(job.progress.step) /
                                                      static_cast<double>(job.resolved.steps);
    const double worked = job.estimate.work * std::min(1.0, done);
    if (worked <= 0) continue;
    const double speed = worked / taken;
    rate.work_per_second_lower = work == 0 ? speed : std::min(speed, rate.work_per_second_lower);
    rate.work_per_second_upper = std::max(speed, rate.work_per_second_upper);
    work += worked;
    work_seconds += taken;
  }
  if (work > 0) rate.work_per_second = work / work_seconds;
  if (rate.jobs > 0) {
    rate.tokens_per_second = tokens / seconds;
    rate.tokens_per_row = rows > 0 ? tokens / rows : 0;
  }
  return rate;
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

absl::StatusOr<int64_t> FakeJobStore::RemoveEnded(absl::Duration age, int64_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<std::pair<absl::Time, JobId>> old;
  for (const auto& [id, record] : records_) {
    const Job& job = record.job;
    const bool needed = std::any_of(records_.begin(), records_.end(), [&, id = id](const auto& it) {
      const std::vector<JobId>& needs = it.second.job.depends_on;
      return it.second.job.state != JobState::kSucceeded &&
             std::find(needs.begin(), needs.end(), id) != needs.end();
    });
    if (job.finish_time.has_value() && *job.finish_time + age <= clock_.Now() && !needed) {
      old.emplace_back(*job.finish_time, id);
    }
  }
  std::sort(old.begin(), old.end());
  if (static_cast<int64_t>(old.size()) > limit) old.resize(static_cast<size_t>(limit));
  for (const auto& [finished, id] : old) records_.erase(id);
  std::erase_if(requests_,
                [&](const auto& entry) { return !records_.contains(entry.second.second); });
  return static_cast<int64_t>(old.size());
}

absl::Status FakeJobStore::Forget(absl::Duration age) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(workers_, [&](const auto& entry) {
    const bool busy = std::any_of(records_.begin(), records_.end(), [&](const auto& it) {
      return HeldBy(it.second.job, entry.first, "");
    });
    return !busy && entry.second.seen_time + age <= clock_.Now();
  });
  return absl::OkStatus();
}

absl::StatusOr<WorkerLife> FakeJobStore::SawWorker(const WorkerRecord& worker) {
  absl::MutexLock lock(&mutex_);
  const auto [place, added] = workers_.try_emplace(worker.name, worker);
  std::string& earlier = earlier_lives_[worker.name];
  if (earlier == worker.incarnation) return WorkerLife::kReplaced;
  const bool same = place->second.incarnation == worker.incarnation;
  if (!same && !place->second.incarnation.empty()) earlier = place->second.incarnation;
  const absl::Time created = added ? clock_.Now() : place->second.create_time;
  const std::string project = same ? place->second.only_project : worker.only_project;
  place->second = worker;
  place->second.only_project = project;
  place->second.create_time = created;
  place->second.seen_time = clock_.Now();
  if (worker.usage.has_value()) place->second.usage->time = clock_.Now();
  return same ? WorkerLife::kSame : WorkerLife::kNew;
}

absl::Status FakeJobStore::WorkerLeft(const std::string& name, const std::string& incarnation,
                                      const std::string& project) {
  absl::MutexLock lock(&mutex_);
  const auto found = workers_.find(name);
  if (found == workers_.end() || (!project.empty() && found->second.only_project != project)) {
    return absl::OkStatus();
  }
  if (found->second.incarnation == incarnation) found->second.incarnation.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<WorkerRecord>> FakeJobStore::Workers(const std::string& after,
                                                                int64_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<WorkerRecord> workers;
  for (const auto& [name, known] : workers_) {
    if (name <= after || static_cast<int64_t>(workers.size()) >= limit) continue;
    WorkerRecord worker = known;
    worker.silent = clock_.Now() - worker.seen_time > absl::Seconds(125);
    for (const auto& [id, record] : records_) {
      if (!HeldBy(record.job, name, "")) continue;
      worker.job = id;
      worker.project = record.job.project;
      if (const auto usage = UsageOf(record.job, name)) worker.usage = usage;
    }
    if (!worker.incarnation.empty() || !worker.job.empty()) workers.push_back(std::move(worker));
  }
  return workers;
}

}  // namespace crossover::scheduler
