#include "services/training_scheduler/domain/fake_pipeline_store.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "common/id/request_id.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/pipeline_errors.h"

namespace crossover::scheduler {

absl::StatusOr<FakePipelineStore::Record*> FakePipelineStore::Find(const std::string& project,
                                                                   const std::string& id) {
  const auto found = records_.find(id);
  if (found == records_.end() || found->second.pipeline.project != project) return NoPipeline(id);
  return &found->second;
}

absl::StatusOr<Pipeline> FakePipelineStore::Insert(const Pipeline& pipeline,
                                                   const RequestKey& key) {
  absl::MutexLock lock(&mutex_);
  if (!key.id.empty()) {
    const auto [place, first] =
        requests_.try_emplace({pipeline.project, key.id}, std::pair(key.payload_hash, pipeline.id));
    if (!first && place->second.first != key.payload_hash) {
      return RequestIdReused(key.id);
    }
    if (!first) return records_.at(place->second.second).pipeline;
  }
  Record& record = records_[pipeline.id];
  record.pipeline = pipeline;
  record.pipeline.create_time = record.pipeline.update_time = clock_.Now();
  record.due_time = clock_.Now();
  return record.pipeline;
}

absl::StatusOr<Pipeline> FakePipelineStore::Get(const std::string& project, const std::string& id) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Record * record, Find(project, id));
  return record->pipeline;
}

absl::StatusOr<std::vector<Pipeline>> FakePipelineStore::List(const PipelineQuery& query) {
  absl::MutexLock lock(&mutex_);
  std::vector<Pipeline> page;
  for (auto it = records_.rbegin(); it != records_.rend(); ++it) {
    const Pipeline& pipeline = it->second.pipeline;
    bool passes = pipeline.project == query.project &&
                  (!query.state.has_value() || pipeline.state == *query.state) &&
                  (query.before.empty() || it->first < query.before);
    for (const auto& [key, value] : query.labels) {
      const auto label = pipeline.labels.find(key);
      passes = passes && label != pipeline.labels.end() && label->second == value;
    }
    if (passes && static_cast<int64_t>(page.size()) < query.limit) page.push_back(pipeline);
  }
  return page;
}

absl::StatusOr<Pipeline> FakePipelineStore::Update(const std::string& project,
                                                   const std::string& id,
                                                   const Mutation& mutation) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Record * record, Find(project, id));
  Pipeline changed = record->pipeline;
  ASSIGN_OR_RETURN(bool wrote, mutation(changed));
  if (!wrote) return record->pipeline;
  changed.update_time = clock_.Now();
  record->pipeline = std::move(changed);
  record->due_time =
      DueStep(record->pipeline).has_value() ? std::optional(clock_.Now()) : std::nullopt;
  return record->pipeline;
}

absl::StatusOr<std::optional<Pipeline>> FakePipelineStore::Claim(absl::Duration pause) {
  absl::MutexLock lock(&mutex_);
  Record* first = nullptr;
  for (auto& [id, record] : records_) {
    if (!record.due_time.has_value() || *record.due_time > clock_.Now()) continue;
    if (first == nullptr || *record.due_time < *first->due_time) first = &record;
  }
  if (first == nullptr) return std::optional<Pipeline>();
  first->due_time = clock_.Now() + pause;
  return std::optional(first->pipeline);
}

absl::StatusOr<int64_t> FakePipelineStore::RemoveEnded(absl::Duration age, int64_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<std::pair<absl::Time, std::string>> old;
  for (const auto& [id, record] : records_) {
    const Pipeline& pipeline = record.pipeline;
    if (pipeline.state == PipelineState::kRunning || record.due_time.has_value()) continue;
    if (pipeline.update_time + age <= clock_.Now()) old.emplace_back(pipeline.update_time, id);
  }
  std::sort(old.begin(), old.end());
  if (std::ssize(old) > limit) old.resize(static_cast<size_t>(limit));
  for (const auto& [updated, id] : old) records_.erase(id);
  std::erase_if(requests_,
                [&](const auto& entry) { return !records_.contains(entry.second.second); });
  return std::ssize(old);
}

}  // namespace crossover::scheduler
