// A data set row's conversation as chat templates take it. No torch.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/dataset/row.h"
#include "llm/chat/message.h"

namespace crossover::llm {

std::vector<ChatMessage> MessagesOf(const dataset::Row& row);

// INVALID_ARGUMENT ROW_INVALID if the tools are not what the published contract says.
absl::StatusOr<std::vector<ChatTool>> ToolsOf(const dataset::Row& row);

}  // namespace crossover::llm
