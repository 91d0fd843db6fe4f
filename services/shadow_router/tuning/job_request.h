// The body of POST /v1/fine_tuning/jobs.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crossover/scheduler/v1/job.pb.h"

namespace crossover::router {

struct TuningRequest {
  std::string model;            // a base's slug or a fine-tuned model's name
  std::string training_file;    // file-…
  std::string validation_file;  // may be empty
  bool preference = false;      // method dpo
  // Kind, training spec and labels (the metadata) are set.
  scheduler::v1::Job job;
};

// INVALID_ARGUMENT FIELD_INVALID or FIELD_REQUIRED with the field as the contract calls it. "auto"
// and null are the same as absent. Both `method.{type}.hyperparameters` and the deprecated
// top-level `hyperparameters` are read.
absl::StatusOr<TuningRequest> ParseTuningRequest(std::string_view body);

// An error of the scheduler about a job, its fields under the names that this API has for them.
absl::Status InOpenAiTerms(const absl::Status& status);

}  // namespace crossover::router
