// Which of the known workers may take a job.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "services/training_scheduler/domain/forecaster.h"
#include "services/training_scheduler/domain/job.h"
#include "services/training_scheduler/domain/worker_record.h"

namespace crossover::scheduler {

// Whether the worker is heard of and may have jobs of the job's project.
bool IsThere(const WorkerRecord& worker, const Job& job);
// What a worker takes jobs by, each alone.
bool TakesKind(const WorkerRecord& worker, const Job& job);
bool TakesQueue(const WorkerRecord& worker, const Job& job);
bool HasDevice(const WorkerRecord& worker, const Job& job);

// Whether the worker is there and takes such jobs, its memory and gangs left aside.
bool MayServe(const WorkerRecord& worker, const Job& job);

// Of its device; the most there can be where that is not known: every job fits.
int64_t MemoryOf(const WorkerRecord& worker);

// What the worker would compute the job in; nullopt: not known.
std::optional<ComputeType> TypeOf(const WorkerRecord& worker, const Job& job);

// Whom to forecast for: the gang_size-th largest of those that may take the job, or the largest of
// all if there are fewer.
ForecastWorkers WorkersFor(const Job& job, std::vector<WorkerRecord> workers);

// Those of the workers that compute the job in one type, as a gang must: the type whose
// `gang_size` largest hold the most. Fewer than gang_size if no type has as many.
std::vector<WorkerRecord> OfOneType(const Job& job, const std::vector<WorkerRecord>& workers);

}  // namespace crossover::scheduler
