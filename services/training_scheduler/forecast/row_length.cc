#include "services/training_scheduler/forecast/row_length.h"

namespace crossover::scheduler {
namespace {

constexpr size_t kPreamble = 512;  // a system text or instructions of the template's own
constexpr size_t kHeader = 32;     // before and after a turn, control tokens one each
constexpr size_t kJsonGrowth = 3;  // escapes of characters, indents

size_t BytesOf(const dataset::Message& message) {
  size_t bytes = kHeader + message.role.size() + message.name.size();
  if (message.content.has_value()) bytes += message.content->size();
  bytes += message.parts.size() + message.tool_call_id.size();
  for (const dataset::ToolCall& call : message.tool_calls)
    bytes += kHeader + call.id.size() + call.name.size() + kJsonGrowth * call.arguments.size();
  return bytes;
}

}  // namespace

int64_t MostTokens(const dataset::Row& row) {
  size_t bytes = kPreamble + kJsonGrowth * row.tools.size();
  for (const dataset::Message& message : row.messages) bytes += BytesOf(message);
  for (const dataset::Message& message : row.rejected) bytes += BytesOf(message);
  return static_cast<int64_t>(bytes);
}

}  // namespace crossover::scheduler
