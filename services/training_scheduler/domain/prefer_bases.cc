#include "services/training_scheduler/domain/prefer_bases.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace crossover::scheduler {
namespace {

bool Has(const Claimant& claimant, const Job& job) {
  return std::find(claimant.bases.begin(), claimant.bases.end(), job.inputs.base_digest) !=
         claimant.bases.end();
}

class Preference {
 public:
  Preference(std::vector<const Job*> taken, std::span<const Job* const> fitting,
             std::span<const Claimant> claimants)
      : fitting_(fitting),
        claimants_(claimants),
        jobs_(std::move(taken)),
        places_(claimants.size()) {
    std::iota(places_.begin(), places_.end(), size_t{0});
  }

  std::vector<Assignment> Run() {
    for (size_t i = 0; i < jobs_.size(); ++i) {
      if (!Warm(i)) FindClaimant(i);
    }
    // From the last on: whoever moves to an earlier place has been looked at.
    for (size_t i = jobs_.size(); i-- > 0;) {
      if (!Warm(i)) FindJob(i);
    }
    std::vector<Assignment> out;
    for (size_t i = 0; i < jobs_.size(); ++i) out.push_back({jobs_[i], places_[i]});
    return out;
  }

 private:
  // The claimant of job i has its base.
  bool Warm(size_t i) const { return i < jobs_.size() && Has(claimants_[places_[i]], *jobs_[i]); }

  void FindClaimant(size_t i) {
    for (size_t p = 0; p < places_.size(); ++p) {
      if (Warm(p) || !Has(claimants_[places_[p]], *jobs_[i])) continue;
      std::swap(places_[i], places_[p]);
      return;
    }
  }

  void FindJob(size_t i) {
    size_t last = i;
    for (size_t p = i; p < jobs_.size(); ++p) {
      if (jobs_[p]->project == jobs_[i]->project && !Warm(p)) last = p;
    }
    const Job* other = FirstBehind(*jobs_[last], claimants_[places_[i]]);
    if (other == nullptr) return;
    std::swap(places_[i], places_[last]);
    jobs_[last] = other;
  }

  // Of equal rank, with a base that the claimant has; nullptr if there is none.
  const Job* FirstBehind(const Job& job, const Claimant& claimant) const {
    size_t seen = 0;
    for (const Job* other : fitting_) {
      const bool taken = std::find(jobs_.begin(), jobs_.end(), other) != jobs_.end();
      const bool behind = std::pair(RankTime(*other), other->id) > std::pair(RankTime(job), job.id);
      if (other->project != job.project || taken || !behind) continue;
      if (RankTime(*other) > RankTime(job) + kEqualRank || ++seen > kJobsLookedAt) return nullptr;
      if (Has(claimant, *other)) return other;
    }
    return nullptr;
  }

  const std::span<const Job* const> fitting_;
  const std::span<const Claimant> claimants_;
  std::vector<const Job*> jobs_;
  std::vector<size_t> places_;  // claimants, in the order of jobs_; those behind get none
};

}  // namespace

std::vector<Assignment> PreferBases(std::vector<const Job*> taken,
                                    std::span<const Job* const> fitting,
                                    std::span<const Claimant> claimants) {
  return Preference(std::move(taken), fitting, claimants).Run();
}

}  // namespace crossover::scheduler
