#include "services/training_scheduler/storage/job_plans.h"

#include <utility>

namespace crossover::scheduler {

std::shared_ptr<const JobPlan> JobPlans::Find(const JobId& id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = plans_.find(id);
  return found == plans_.end() ? nullptr : found->second;
}

void JobPlans::Keep(const Job& job) {
  if (job.state == JobState::kValidating) return;
  if (Find(job.id) != nullptr) return;  // most are: copying the plan costs more than to look
  auto plan =
      std::make_shared<const JobPlan>(JobPlan{job.spec, job.resolved, job.inputs, job.estimate});
  std::shared_ptr<const JobPlan> dropped;  // destroyed outside the lock
  absl::MutexLock lock(&mutex_);
  if (!plans_.try_emplace(job.id, std::move(plan)).second) return;
  order_.push_back(job.id);
  if (order_.size() <= capacity_) return;
  const auto first = plans_.find(order_.front());
  dropped = std::move(first->second);
  plans_.erase(first);
  order_.pop_front();
}

}  // namespace crossover::scheduler
