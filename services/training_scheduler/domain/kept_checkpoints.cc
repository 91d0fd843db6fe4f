#include "services/training_scheduler/domain/kept_checkpoints.h"

#include <algorithm>
#include <set>
#include <utility>

namespace crossover::scheduler {

std::optional<int64_t> BestStep(const std::vector<Checkpoint>& checkpoints) {
  std::optional<std::pair<double, int64_t>> best;
  for (const Checkpoint& checkpoint : checkpoints) {
    const auto loss = checkpoint.metrics.find("valid_loss");
    if (loss == checkpoint.metrics.end()) continue;
    const std::pair<double, int64_t> candidate(loss->second, checkpoint.step);
    if (!best.has_value() || candidate < *best) best = candidate;
  }
  return best.has_value() ? std::optional(best->second) : std::nullopt;
}

Pruning Prune(const std::vector<Checkpoint>& checkpoints) {
  std::vector<Checkpoint> latest_first = checkpoints;
  std::sort(latest_first.begin(), latest_first.end(), [](const Checkpoint& a, const Checkpoint& b) {
    return std::pair(a.epoch, a.step) > std::pair(b.epoch, b.step);
  });
  const std::optional<int64_t> best = BestStep(checkpoints);
  Pruning pruning;
  std::set<std::string> kept, dropped;
  for (size_t i = 0; i < latest_first.size(); ++i) {
    const Checkpoint& checkpoint = latest_first[i];
    const bool keep = i < kLastCheckpoints || checkpoint.pinned || checkpoint.step == best;
    if (!keep) pruning.steps.push_back(checkpoint.step);
    for (const std::string& digest : {checkpoint.digest, checkpoint.adapter_digest}) {
      if (!digest.empty()) (keep ? kept : dropped).insert(digest);
    }
  }
  std::set_difference(dropped.begin(), dropped.end(), kept.begin(), kept.end(),
                      std::back_inserter(pruning.released));
  return pruning;
}

}  // namespace crossover::scheduler
