// Inference: the tokens of what is asked.
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/model_server/domain/context_length.h"
#include "services/model_server/domain/field_error.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {
namespace {

absl::Status PromptTooLong(const std::string& field, int64_t tokens, int64_t answer,
                           int64_t limit) {
  return DoesNotFit(field,
                    absl::StrCat(field, " has ", tokens, " tokens",
                                 answer > 0 ? " and leaves no room for an answer: " : ": ", limit,
                                 " tokens are served with this model"),
                    tokens, limit);
}

// Whether a text can be refused without being tokenised, which takes long just where it is in vain:
// even as the longest tokens it would not fit. Four times that, because tokenizers may shorten a
// text first (three letters of Hangul become one).
absl::Status CheckBytes(const LoadedBase& base, size_t bytes, const std::string& field) {
  const int64_t most = 4 * base.longest_token_bytes * base.context_length;
  if (base.longest_token_bytes == 0 || static_cast<int64_t>(bytes) <= most) return absl::OkStatus();
  return DoesNotFit(field,
                    absl::StrCat(field, " has ", bytes, " bytes, which are more than the ",
                                 base.context_length, " tokens that this model serves"),
                    base.context_length + 1, base.context_length);
}

size_t BytesOf(const ChatPrompt& chat) {
  size_t bytes = 0;
  for (const llm::ChatMessage& message : chat.messages) {
    bytes += message.content.size();
    for (const llm::ToolCall& call : message.tool_calls) bytes += call.arguments.size();
  }
  for (const llm::ChatTool& tool : chat.tools)
    bytes += tool.description.size() + tool.parameters.size();
  return bytes;
}

// A template may leave parts of a conversation out, so a long one counts as it is rendered.
absl::Status CheckBytes(const LoadedBase& base, const llm::ChatTemplate& chat_template,
                        const ChatPrompt& chat, const std::string& field) {
  if (CheckBytes(base, BytesOf(chat), field).ok()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string text, chat_template.Render(chat.messages, chat.tools, true));
  return CheckBytes(base, text.size(), field);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const llm::ChatTemplate>> Inference::TemplateFor(
    const LoadedBase& base, const std::string& date) const {
  if (date.empty()) return base.chat;
  absl::CivilDay day;
  if (!absl::ParseCivilTime(date, &day))
    return FieldError("chat.template_date", "must be a date such as 2026-07-26");
  return llm::ChatTemplate::FromText(base.template_text, base.tokenizer, {.date = day});
}

absl::StatusOr<std::vector<int32_t>> Inference::PromptIds(const LoadedBase& base,
                                                          const Prompt& prompt,
                                                          const std::string& field,
                                                          int64_t answer) const {
  std::vector<int32_t> ids;
  if (const auto* chat = std::get_if<ChatPrompt>(&prompt)) {
    ASSIGN_OR_RETURN(const auto chat_template, TemplateFor(base, chat->date));
    RETURN_IF_ERROR(CheckBytes(base, *chat_template, *chat, field));
    ASSIGN_OR_RETURN(ids, chat_template->Prompt(chat->messages, chat->tools));
  } else if (const auto* text = std::get_if<std::string>(&prompt)) {
    RETURN_IF_ERROR(CheckBytes(base, text->size(), field));
    if (base.tokenizer->adds_bos() && base.tokenizer->bos_id())
      ids.push_back(*base.tokenizer->bos_id());
    const std::vector<int32_t> body = base.tokenizer->Encode(*text);
    ids.insert(ids.end(), body.begin(), body.end());
  } else {
    ids = std::get<std::vector<int32_t>>(prompt);
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] < 0 || ids[i] >= base.tokenizer->vocab_size()) {
        return FieldError(absl::StrCat(field, "[", i, "]"),
                          absl::StrCat("must be from 0 to ", base.tokenizer->vocab_size() - 1));
      }
    }
  }
  if (ids.empty()) return FieldError(field, "must hold at least one token");
  const int64_t tokens = static_cast<int64_t>(ids.size());
  if (tokens + answer > base.context_length)
    return PromptTooLong(field, tokens, answer, base.context_length);
  return ids;
}

}  // namespace crossover::inference
