#include "llm/rows/samples.h"

#include <vector>

#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/rows/row_messages.h"

namespace crossover::llm {

absl::StatusOr<TrainingSample> SampleOf(const dataset::Row& row, const ChatTemplate& chat,
                                        TrainedTurns turns) {
  ASSIGN_OR_RETURN(const std::vector<ChatTool> tools, ToolsOf(row));
  return chat.Training(MessagesOf(row), tools, turns);
}

absl::StatusOr<TrainingSample> RejectedSampleOf(const dataset::Row& row, const ChatTemplate& chat) {
  if (row.rejected.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "ROW_WITHOUT_REJECTED",
                 "has no rejected answer; give it `rejected`, or train with kind SFT");
  }
  dataset::Row other = row;
  other.messages = dataset::InputOf(row);
  other.messages.insert(other.messages.end(), row.rejected.begin(), row.rejected.end());
  absl::StatusOr<TrainingSample> sample = SampleOf(other, chat, TrainedTurns::kLast);
  if (!sample.ok()) return WithContext(sample.status(), "rejected answer");
  return sample;
}

}  // namespace crossover::llm
