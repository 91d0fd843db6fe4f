#include "services/training_scheduler/domain/gang.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <limits>

namespace crossover::scheduler {

namespace {

int64_t MemoryOf(const Claimant& claimant) {
  return claimant.memory_bytes > 0 ? claimant.memory_bytes : std::numeric_limits<int64_t>::max();
}

bool TakesGangs(const Claimant& claimant, int32_t size) {
  return claimant.gang == 0 || claimant.gang >= size;
}

bool Leads(const Claimant& claimant) { return !claimant.rendezvous.empty(); }

int64_t GangLimit(const std::vector<Claimant>& claimants, int32_t size) {
  std::vector<int64_t> memory;
  int64_t of_leader = -1;  // the largest that could lead
  for (const Claimant& claimant : claimants) {
    if (!TakesGangs(claimant, size)) continue;
    memory.push_back(MemoryOf(claimant));
    if (Leads(claimant)) of_leader = std::max(of_leader, memory.back());
  }
  if (std::ssize(memory) < size) return -1;
  const auto last = memory.begin() + (size - 1);
  std::nth_element(memory.begin(), last, memory.end(), std::greater<>());
  return std::min(*last, of_leader);
}

}  // namespace

std::vector<int64_t> GangLimits(const std::vector<Claimant>& claimants) {
  std::vector<int64_t> limits = {-1};
  const int64_t most = std::min<int64_t>(kLargestGang, std::ssize(claimants));
  for (int32_t size = 2; size <= most; ++size) limits.push_back(GangLimit(claimants, size));
  return limits;
}

std::vector<size_t> GangOf(const std::vector<Claimant>& claimants, int32_t size, int64_t memory) {
  std::vector<size_t> able;
  for (size_t i = 0; i < claimants.size(); ++i) {
    if (TakesGangs(claimants[i], size) && MemoryOf(claimants[i]) >= memory) able.push_back(i);
  }
  std::stable_sort(able.begin(), able.end(), [&](size_t a, size_t b) {
    return MemoryOf(claimants[a]) < MemoryOf(claimants[b]);
  });
  const auto leader =
      std::find_if(able.begin(), able.end(), [&](size_t place) { return Leads(claimants[place]); });
  if (leader != able.end()) std::rotate(able.begin(), leader, leader + 1);
  able.resize(std::min(able.size(), static_cast<size_t>(size)));
  return able;
}

LeaseRecord GangLease(const ClaimRequest& request, const Job& job, absl::Time now) {
  const std::vector<size_t> places =
      GangOf(request.claimants, job.requirements.gang_size, job.needed_memory_bytes);
  const Claimant& leader = request.claimants.at(places.at(0));
  LeaseRecord lease{.token_hash = leader.token_hash,
                    .worker = leader.worker,
                    .incarnation = leader.incarnation,
                    .grant_time = now,
                    .expire_time = now + request.ttl};
  lease.rendezvous = leader.rendezvous;
  for (const size_t place : places) {
    const Claimant& claimant = request.claimants[place];
    const auto rank = static_cast<int32_t>(lease.gang.size());
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
