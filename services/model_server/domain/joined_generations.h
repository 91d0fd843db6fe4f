// Several requests that are answered as one: the prompts of one completions call.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {

// Starts all commands, which have the same n. Answer j of command i has index i * n + j in `sink`,
// which hears one OnStart and one OnDone with the sum of the usages; the first failure ends all. An
// error means that `sink` hears nothing after OnStart.
absl::StatusOr<std::shared_ptr<Generation>> GenerateAll(
    Inference& inference, const std::vector<GenerateCommand>& commands,
    std::shared_ptr<AnswerSink> sink);

}  // namespace crossover::inference
