// From files to a sealed version of a data set, as a fine-tuning job needs it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "services/shadow_router/tuning/backend.h"

namespace crossover::router {

struct TrainingFiles {
  std::string project;          // projects/{p}
  std::string training_file;    // file-…
  std::string validation_file;  // may be empty
  bool preference = false;      // rows must hold a rejected answer
};

// The name of the version. Blocks until the files are curated; equal files give the same version.
// INVALID_ARGUMENT, with `training_file` or `validation_file` as the field: a file that does not
// exist, has another purpose, holds lines that cannot be read (the first is named: `line 536:
// messages[2].…`), fewer than ten rows, rows of the wrong kind, or rows that the other file holds
// too. Rows that are repeated within a file count once.
absl::StatusOr<std::string> SealTrainingData(TuningBackend& backend, const TrainingFiles& files);

}  // namespace crossover::router
