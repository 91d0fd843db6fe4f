// Checks of what a Trainer is given. No torch.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

// InvalidArgument("BAD_TRAIN_CONFIG") with one violation for each field that is out of range or
// does not fit the model.
absl::Status CheckConfig(const ModelConfig& model, const TrainConfig& config);

// InvalidArgument naming the row: NO_ROWS, ROW_TOO_LONG, ROW_WITHOUT_TRAINED_TOKEN,
// ROW_WITHOUT_REJECTED, ROW_WITHOUT_TEACHER, TOKEN_OUT_OF_RANGE, BAD_ROW. `kind` is "training" or
// "validation", for messages.
absl::Status CheckRows(const BaseModel& base, const TrainConfig& config,
                       const std::vector<TrainRow>& rows, std::string_view kind);

}  // namespace crossover::llm
