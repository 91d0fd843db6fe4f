// The decisions behind JobService: create, look, list, and the verbs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/id/uuid7.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/job_store.h"
#include "services/training_scheduler/domain/planner.h"

namespace crossover::scheduler {

// Thread-safe. Borrows everything.
class Scheduler {
 public:
  Scheduler(JobStore& jobs, Planner& planner, UuidGenerator& ids)
      : jobs_(jobs), planner_(planner), ids_(ids) {}

  // `draft` carries what a client may set. INVALID_ARGUMENT with violations if fields are wrong;
  // nothing is stored then. When the catalogue of data sets cannot be asked now, the job is stored
  // as VALIDATING and the housekeeper asks again. With `validate_only` nothing is stored and the
  // job comes back with resolved spec and estimate. A repeat with the same key gives the stored job
  // whatever has become of what it names.
  absl::StatusOr<Job> Create(Job draft, const RequestKey& key, bool validate_only);

  absl::StatusOr<Plan> Estimate(const Job& draft) { return planner_.Check(draft); }

  // NOT_FOUND if the job is of another project.
  absl::StatusOr<Job> Get(const std::string& project, const JobId& id);
  absl::StatusOr<Job> CancelJob(const std::string& project, const JobId& id,
                                const std::string& reason);
  absl::StatusOr<Job> PauseJob(const std::string& project, const JobId& id,
                               const std::string& reason);
  absl::StatusOr<Job> ResumeJob(const std::string& project, const JobId& id);
  // A repeat with the same key retries once only.
  absl::StatusOr<Job> RetryJob(const std::string& project, const JobId& id,
                               const RequestKey& key = {});

  // The job that this key created; nullopt if none has. REQUEST_ID_REUSED for another payload.
  absl::StatusOr<std::optional<Job>> FindCreated(const std::string& project, const RequestKey& key);

  // The state of what `job` depends on.
  absl::StatusOr<Dependencies> DependenciesOf(const Job& job);

  // What is due for a job: its lease has run out, its deadline has passed, its dependency has
  // finished, its validation could not be done at creation.
  absl::Status Tend(const JobId& id, const RetryPolicy& policy);

 private:
  absl::StatusOr<Job> Verb(const std::string& project, const JobId& id,
                           const JobStore::Mutation& mutation);
  absl::Status TendValidation(const Job& job);

  JobStore& jobs_;
  Planner& planner_;
  UuidGenerator& ids_;
};

}  // namespace crossover::scheduler
