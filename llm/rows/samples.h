// A data set row as the token ids that training sees. No torch.
#pragma once

#include "absl/status/statusor.h"
#include "common/dataset/row.h"
#include "llm/chat/chat_template.h"

namespace crossover::llm {

// Errors of ToolsOf and ChatTemplate::Training.
absl::StatusOr<TrainingSample> SampleOf(const dataset::Row& row, const ChatTemplate& chat,
                                        TrainedTurns turns);

// The row's conversation with `rejected` in the place of its last turn. INVALID_ARGUMENT
// ROW_WITHOUT_REJECTED if there is none; errors of SampleOf.
absl::StatusOr<TrainingSample> RejectedSampleOf(const dataset::Row& row, const ChatTemplate& chat);

}  // namespace crossover::llm
