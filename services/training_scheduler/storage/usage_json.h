// WorkerUsage as Postgres keeps it. Inside of the storage room only: it shows nlohmann's types.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/training_scheduler/domain/worker_usage.h"

namespace crossover::scheduler {

nlohmann::json PackUsage(const WorkerUsage& usage);
// What is absent or of another type stays as it is: usage is news, never a reason to lose a job.
WorkerUsage UnpackUsage(const nlohmann::json& packed);

std::string UsageToJson(const WorkerUsage& usage);
// INTERNAL if the text is no JSON.
absl::StatusOr<WorkerUsage> UsageFromJson(std::string_view text);

}  // namespace crossover::scheduler
