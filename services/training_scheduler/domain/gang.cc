#include "services/training_scheduler/domain/gang.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <limits>

#include "services/training_scheduler/domain/compute_types.h"

namespace crossover::scheduler {

namespace {

int64_t MemoryOf(const Claimant& claimant) {
  return claimant.memory_bytes > 0 ? claimant.memory_bytes : std::numeric_limits<int64_t>::max();
}

bool TakesGangs(const Claimant& claimant, int32_t size) {
  return claimant.gang == 0 || claimant.gang >= size;
}

bool Leads(const Claimant& claimant) { return !claimant.rendezvous.empty(); }

// Places of those that compute a job in this type.
std::vector<size_t> PlacesOf(const std::vector<Claimant>& claimants,
                             std::optional<ComputeType> type, bool asks_float32) {
  std::vector<size_t> places;
  for (size_t i = 0; i < claimants.size(); ++i) {
    if (TypeOn(claimants[i].compute_types, asks_float32) == type) places.push_back(i);
  }
  return places;
}

int64_t GangLimit(const std::vector<Claimant>& claimants, const std::vector<size_t>& alike,
                  int32_t size) {
  std::vector<int64_t> memory;
  int64_t of_leader = -1;  // the largest that could lead
  for (const size_t place : alike) {
    const Claimant& claimant = claimants[place];
    if (!TakesGangs(claimant, size)) continue;
    memory.push_back(MemoryOf(claimant));
    if (Leads(claimant)) of_leader = std::max(of_leader, memory.back());
  }
  if (std::ssize(memory) < size) return -1;
  const auto last = memory.begin() + (size - 1);
  std::nth_element(memory.begin(), last, memory.end(), std::greater<>());
  return std::min(*last, of_leader);
}

// Of workers of one type.
std::vector<size_t> GangOfAlike(const std::vector<Claimant>& claimants,
                                const std::vector<size_t>& alike, int32_t size, int64_t memory) {
  std::vector<size_t> able;
  for (const size_t place : alike) {
    if (TakesGangs(claimants[place], size) && MemoryOf(claimants[place]) >= memory)
      able.push_back(place);
  }
  std::stable_sort(able.begin(), able.end(), [&](size_t a, size_t b) {
    return MemoryOf(claimants[a]) < MemoryOf(claimants[b]);
  });
  const auto leader =
      std::find_if(able.begin(), able.end(), [&](size_t place) { return Leads(claimants[place]); });
  if (leader == able.end() || std::ssize(able) < size) return {};
  std::rotate(able.begin(), leader, leader + 1);
  able.resize(static_cast<size_t>(size));
  return able;
}

}  // namespace

std::vector<int64_t> GangLimits(const std::vector<Claimant>& claimants, bool asks_float32) {
  const int64_t most = std::min<int64_t>(kLargestGang, std::ssize(claimants));
  std::vector<int64_t> limits(static_cast<size_t>(std::max<int64_t>(1, most)), -1);
  for (const std::optional<ComputeType>& type : TypesOfGangs(asks_float32)) {
    const std::vector<size_t> alike = PlacesOf(claimants, type, asks_float32);
    for (int32_t size = 2; size <= std::min<int64_t>(most, std::ssize(alike)); ++size) {
      int64_t& limit = limits[static_cast<size_t>(size - 1)];
      limit = std::max(limit, GangLimit(claimants, alike, size));
    }
  }
  return limits;
}

std::vector<size_t> GangOf(const std::vector<Claimant>& claimants, int32_t size, int64_t memory,
                           bool asks_float32) {
  for (const std::optional<ComputeType>& type : TypesOfGangs(asks_float32)) {
    std::vector<size_t> gang =
        GangOfAlike(claimants, PlacesOf(claimants, type, asks_float32), size, memory);
    if (!gang.empty()) return gang;
  }
  return {};
}

LeaseRecord GangLease(const ClaimRequest& request, const Job& job, absl::Time now) {
  const std::vector<size_t> places = GangOf(request.claimants, job.requirements.gang_size,
                                            job.needed_memory_bytes, AsksFloat32(job));
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
