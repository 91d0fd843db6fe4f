// The errors that both implementations of ModelStore return, in the same words.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/training_scheduler/domain/model.h"

namespace crossover::scheduler {

absl::Status NoModel(const std::string& project, const std::string& model);
absl::Status NoVersion(const std::string& project, const std::string& model,
                       const std::string& digest_or_alias);
// A model holds versions of one kind, as its alias moves to what is registered last.
absl::Status KindTaken(const std::string& model, ModelKind known, ModelKind kind);
absl::Status VersionInUse(const std::string& digest, std::string_view referrer);

}  // namespace crossover::scheduler
