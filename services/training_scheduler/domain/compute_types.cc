#include "services/training_scheduler/domain/compute_types.h"

#include <algorithm>

namespace crossover::scheduler {

bool AsksFloat32(const Job& job) { return job.spec.training.compute_type == ComputeType::kFloat32; }

std::optional<ComputeType> TypeOn(const std::vector<ComputeType>& types, bool asks_float32) {
  if (types.empty()) return std::nullopt;
  const bool has_float32 =
      std::find(types.begin(), types.end(), ComputeType::kFloat32) != types.end();
  return asks_float32 && has_float32 ? ComputeType::kFloat32 : types.front();
}

std::array<std::optional<ComputeType>, 3> TypesOfGangs(bool asks_float32) {
  if (asks_float32) return {ComputeType::kFloat32, ComputeType::kBfloat16, std::nullopt};
  return {ComputeType::kBfloat16, ComputeType::kFloat32, std::nullopt};
}

}  // namespace crossover::scheduler
