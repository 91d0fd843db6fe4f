// From files to a sealed version of a data set, as a fine-tuning job needs it.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "services/shadow_router/tuning/backend.h"

namespace crossover::router {

struct TrainingFiles {
  std::string project;          // projects/{p}
  std::string training_file;    // file-…
  std::string validation_file;  // may be empty
  bool preference = false;      // rows must hold a rejected answer
};

// The first line of the file that cannot be read, as the contract words it (`line 536:
// messages[2].… is not valid JSON (and 3 more)`); "" if there is none.
absl::StatusOr<std::string> WrongLine(TuningBackend& backend, const curation_pb::File& file);

// The file as OpenAI's API shows it: with status `error` and that line if there is one, as no job
// takes it then.
absl::StatusOr<nlohmann::json> CheckedFileJson(TuningBackend& backend,
                                               const curation_pb::File& file);

// The same of a file that this call has stored. Cannot fail: a client that gets an error sends the
// file again, and it would be kept twice. If its lines cannot be asked for now, what validation
// said of the file as a whole stands in their place.
nlohmann::json StoredFileJson(TuningBackend& backend, const curation_pb::File& file);

// The name of the version. Blocks until the files are curated; equal files give the same version.
// INVALID_ARGUMENT, with `training_file` or `validation_file` as the field: a file that does not
// exist, has another purpose, holds lines that cannot be read (the first is named: `line 536:
// messages[2].…`), fewer than ten rows, rows of the wrong kind, or rows that the other file holds
// too. Rows that are repeated within a file count once.
absl::StatusOr<std::string> SealTrainingData(TuningBackend& backend, const TrainingFiles& files);

}  // namespace crossover::router
