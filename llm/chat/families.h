// The two renderings. Private to this room.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/chat/chat_template.h"

namespace crossover::llm {

// Control tokens that are in the vocabulary, without repeats; the model's end token is added last.
std::vector<int32_t> EndTokens(const Tokenizer& tokenizer,
                               std::initializer_list<std::string_view> names);

// InvalidArgument FIELD_INVALID for messages[index].
absl::Status BadMessage(size_t index, std::string_view field, std::string_view problem);

class ChatMlTemplate : public ChatTemplate {
 public:
  ChatMlTemplate(std::string_view jinja, std::shared_ptr<const Tokenizer> tokenizer);

 protected:
  absl::StatusOr<std::vector<Piece>> Pieces(const std::vector<ChatMessage>& messages,
                                            const std::vector<ChatTool>& tools,
                                            bool for_answer) const override;

 private:
  std::string default_system_;  // "" for none.
  bool groups_tool_answers_;  // Qwen: tool messages become <tool_response> blocks of one user turn.
  bool trims_;
};

class Llama3Template : public ChatTemplate {
 public:
  Llama3Template(std::string_view jinja, std::shared_ptr<const Tokenizer> tokenizer,
                 std::string date);

 protected:
  absl::StatusOr<std::vector<Piece>> Pieces(const std::vector<ChatMessage>& messages,
                                            const std::vector<ChatTool>& tools,
                                            bool for_answer) const override;

 private:
  bool has_date_block_;
  std::string date_;
};

}  // namespace crossover::llm
