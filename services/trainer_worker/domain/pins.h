// Who holds what a job makes, in the blob store. One name a purpose: what two of them need stays
// until both have let it go.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"

namespace crossover::worker {

// What the job publishes.
inline std::string OutputHolder(const std::string& job) { return job; }
// Its checkpoints and their adapters, until the scheduler says that they are not kept.
inline std::string CheckpointHolder(const std::string& job) {
  return absl::StrCat(job, "/checkpoints");
}
// The adapter with the best validation loss so far, until no resume can ask for it.
inline std::string BestHolder(const std::string& job) { return absl::StrCat(job, "/best"); }

// The best adapter of each trial of a sweep that has ended, until the sweep has.
inline std::string TrialHolder(const std::string& job) { return absl::StrCat(job, "/trials"); }

}  // namespace crossover::worker
