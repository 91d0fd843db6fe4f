// Errors that every implementation of CurationStore gives in the same words.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "services/data_curation/domain/records.h"

namespace crossover::curation {

absl::Status NotFound(const std::string& kind, const std::string& name);
absl::Status Exists(const std::string& kind, const std::string& name);
absl::Status EtagMismatch(const std::string& kind, const std::string& name);
absl::Status RunLeaseLost(const std::string& id);
// `verb` is not allowed in the run's state.
absl::Status RunStateInvalid(const RunRecord& run, const std::string& verb,
                             const std::string& allowed);
absl::Status DatasetInUse(const std::string& id);

}  // namespace crossover::curation
