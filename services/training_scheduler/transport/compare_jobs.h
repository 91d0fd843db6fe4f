// CompareJobs: where specs and losses differ, and how the runs ended.
#pragma once

#include <vector>

#include "crossover/scheduler/v1/job_service.pb.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

struct ComparedJob {
  Job job;
  std::vector<MetricPoint> points;  // ascending by step
};

v1::CompareJobsResponse Compare(const std::vector<ComparedJob>& jobs);

}  // namespace crossover::scheduler
