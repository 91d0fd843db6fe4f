// A worker as the scheduler knows it: by its asking for leases.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "services/training_scheduler/domain/lease.h"

namespace crossover::scheduler {

struct WorkerRecord {
  std::string name;
  std::string incarnation;
  std::string version;
  Capabilities capabilities;
  std::string only_project;  // whose jobs it may have; empty = all
  absl::Time create_time;    // set by the store, as all below
  absl::Time seen_time;
  JobId job;  // that it holds the lease of; empty = none
  std::string project;
  // With a job: as its last beat said. Else as it said when it asked for work.
  std::optional<WorkerUsage> usage;
  bool silent = false;  // not heard of for two long polls
};

}  // namespace crossover::scheduler
