// Tool calls in the text of an answer, as ChatML models write them:
//   <tool_call>\n{"name": "f", "arguments": {…}}\n</tool_call>
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llm/chat/message.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {

// Splits an answer that arrives in pieces. Text before the first call is content at once, but for
// what may be the beginning of a call.
class ToolCallSplitter {
 public:
  // Content that is certain after this piece.
  std::string Push(std::string_view piece);

  struct Rest {
    std::string content;
    std::vector<llm::ToolCall> calls;
  };
  // What was held back. Text that is no sound call is content, as the model wrote it; then there
  // are no calls.
  Rest Finish();

 private:
  std::string held_;
  bool in_call_ = false;
};

// Hands an answer on with its tool calls on the last piece, whose finish_reason then is
// "tool_calls". Tokens and log-probabilities are those of the whole answer.
class ToolCallSink final : public AnswerSink {
 public:
  explicit ToolCallSink(std::shared_ptr<AnswerSink> next) : next_(std::move(next)) {}

  void OnStart(const AnswerStart& start) override { next_->OnStart(start); }
  void OnPiece(AnswerPiece piece) override;
  void OnDone(absl::StatusOr<AnswerSummary> summary) override { next_->OnDone(std::move(summary)); }

 private:
  const std::shared_ptr<AnswerSink> next_;
  std::map<int64_t, ToolCallSplitter> splitters_;  // By answer.
};

}  // namespace crossover::inference
