// Rows of the queries as domain values. Private to this room.
#pragma once

#include <pqxx/pqxx>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/training_scheduler/domain/job.h"
#include "services/training_scheduler/domain/model.h"
#include "services/training_scheduler/domain/worker_record.h"
#include "services/training_scheduler/storage/known_jobs.h"

namespace crossover::scheduler {

// A row of job_row.
absl::StatusOr<Job> ReadJob(const pqxx::row& row);
// A row of a job that is known, or nullptr: spec and plan, which may be NULL in the row, are the
// known ones.
absl::StatusOr<Job> ReadJob(const pqxx::row& row, const KnownJob* known);
absl::StatusOr<JobEvent> ReadEvent(const pqxx::row& row);
absl::StatusOr<MetricPoint> ReadMetric(const pqxx::row& row);
absl::StatusOr<Checkpoint> ReadCheckpoint(const pqxx::row& row);
absl::StatusOr<ModelVersion> ReadVersion(const pqxx::row& row);
absl::StatusOr<Model> ReadModel(const pqxx::row& row);
absl::StatusOr<WorkerRecord> ReadWorker(const pqxx::row& row);

// Every row by `read`; the first error ends it.
template <typename T>
absl::StatusOr<std::vector<T>> ReadAll(const pqxx::result& rows,
                                       absl::StatusOr<T> (*read)(const pqxx::row&)) {
  std::vector<T> values;
  values.reserve(rows.size());
  for (const pqxx::row& row : rows) {
    absl::StatusOr<T> value = read(row);
    if (!value.ok()) return value.status();
    values.push_back(*std::move(value));
  }
  return values;
}

// Column "id" of every row, as 26 characters.
absl::StatusOr<std::vector<JobId>> ReadIds(const pqxx::result& rows);

// Ids are checked before they come here.
std::string Uuid(const JobId& id);

}  // namespace crossover::scheduler
