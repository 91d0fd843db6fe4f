#include "services/training_scheduler/domain/gang.h"

namespace crossover::scheduler {

LeaseRecord GangLease(const ClaimRequest& request, int32_t size, absl::Time now) {
  const Claimant& leader = request.claimants.front();
  LeaseRecord lease{.token_hash = leader.token_hash,
                    .worker = leader.worker,
                    .incarnation = leader.incarnation,
                    .grant_time = now,
                    .expire_time = now + request.ttl};
  lease.rendezvous = leader.rendezvous;
  for (int32_t rank = 0; rank < size; ++rank) {
    const Claimant& claimant = request.claimants[static_cast<size_t>(rank)];
    lease.gang.push_back({rank, claimant.worker, claimant.incarnation, claimant.token_hash,
                          lease.expire_time, std::nullopt});
  }
  return lease;
}

std::string HolderOf(const Job& job, const std::string& worker) {
  if (!job.lease.has_value()) return "";
  if (job.lease->worker == worker) return job.lease->incarnation;
  for (const GangMember& member : job.lease->gang) {
    if (member.worker == worker) return member.incarnation;
  }
  return "";
}

std::optional<WorkerUsage> UsageOf(const Job& job, const std::string& worker) {
  if (!job.lease.has_value()) return std::nullopt;
  for (const GangMember& member : job.lease->gang) {
    if (member.worker == worker) return member.usage;
  }
  return job.lease->worker == worker ? job.lease->usage : std::nullopt;
}

bool HeldBy(const Job& job, const std::string& worker, const std::string& incarnation) {
  const std::string life = HolderOf(job, worker);
  return !life.empty() && (incarnation.empty() || incarnation == life);
}

}  // namespace crossover::scheduler
