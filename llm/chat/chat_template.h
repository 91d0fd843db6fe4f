// Renders conversations the way the model was trained on them: by the model's own template, in the
// part of Jinja that jinja.h names.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "llm/chat/answer_spans.h"
#include "llm/chat/jinja.h"
#include "llm/chat/message.h"
#include "llm/formats/gguf_file.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {

struct ChatTemplateOptions {
  // Today, for templates that print it (Llama 3.1 and later), whatever the clock says: jobs and
  // requests that name no template_date of their own all see this one, so that training,
  // evaluation and serving render the same text.
  absl::CivilDay date = absl::CivilDay(2024, 7, 26);
};

enum class TrainedTurns {
  kAll,
  kLast
};  // Assistant turns without a weight of their own: all 1, or the last 1 and the rest 0.

// One training example: the loss of predicting ids[i] counts weights[i]. Ends with the last token
// that has a weight.
struct TrainingSample {
  std::vector<int32_t> ids;
  std::vector<float> weights;
  int64_t trained_tokens = 0;
};

// Immutable and thread-safe.
//
// Tokens: an assistant's answer is encoded apart from the header before it, because that is how
// the model meets it when it generates. Contents never become control tokens. Results of tools that
// follow each other are rendered in the order of their calls, because most templates write no ids.
//
// Every call that renders may fail with InvalidArgument: FIELD_INVALID names the message
// ("messages[2].role") for an unknown role, an answer to a call that is not there, an empty
// conversation, or arguments or parameters that are no JSON; TEMPLATE_REFUSED is what the template
// itself says against the conversation; TEMPLATE_FAILED names the line of a template that cannot be
// run. Unimplemented MODEL_UNSUPPORTED for tools or tool calls with a template that does not know
// of them.
class ChatTemplate {
 public:
  // Unimplemented MODEL_UNSUPPORTED for a template with control tokens that the tokenizer lacks or
  // that ends an answer with none; TEMPLATE_INVALID and TEMPLATE_UNSUPPORTED of jinja::Parse().
  static absl::StatusOr<std::shared_ptr<const ChatTemplate>> FromText(
      std::string_view jinja, std::shared_ptr<const Tokenizer> tokenizer,
      ChatTemplateOptions options = {});

  // `tokenizer.chat_template` of the file; a file without one is ChatML if its vocabulary has the
  // markers.
  static absl::StatusOr<std::shared_ptr<const ChatTemplate>> FromGguf(
      const GgufFile& file, std::shared_ptr<const Tokenizer> tokenizer,
      ChatTemplateOptions options = {});

  // The conversation as text; with `for_answer`, followed by the header of the answer.
  absl::StatusOr<std::string> Render(const std::vector<ChatMessage>& messages,
                                     const std::vector<ChatTool>& tools, bool for_answer) const;

  // The prompt of an answer to the conversation.
  absl::StatusOr<std::vector<int32_t>> Prompt(const std::vector<ChatMessage>& messages,
                                              const std::vector<ChatTool>& tools = {}) const;

  // The ids of Render(); `assistant`, unless null, tells for each whether it belongs to an
  // assistant's answer or end of turn.
  absl::StatusOr<std::vector<int32_t>> Tokens(const std::vector<ChatMessage>& messages,
                                              const std::vector<ChatTool>& tools, bool for_answer,
                                              std::vector<bool>* assistant = nullptr) const;

  // The ids of an answer and its end-of-turn token, as they follow Prompt().
  std::vector<int32_t> Answer(std::string_view content) const;

  // Weights are on the answers of assistant messages (tool calls included) and the end-of-turn
  // token after them. InvalidArgument NO_TRAINED_TOKENS if nothing has a weight; FIELD_INVALID for
  // a weight that is negative or not finite; PROMPT_MISMATCH if the template writes what comes
  // before a trained answer in another way than when it asks for it, so that serving would differ.
  absl::StatusOr<TrainingSample> Training(const std::vector<ChatMessage>& messages,
                                          const std::vector<ChatTool>& tools = {},
                                          TrainedTurns turns = TrainedTurns::kAll) const;

  // Tokens that end an answer: the template's end of turn first, then the model's other end tokens.
  const std::vector<int32_t>& stop_ids() const { return stop_ids_; }

  // What stands around an answer.
  const AnswerMarks& marks() const { return marks_; }

  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  ChatTemplate(std::shared_ptr<const jinja::Program> program,
               std::shared_ptr<const Tokenizer> tokenizer, ChatTemplateOptions options);

  // Renders small conversations to learn marks_ and stop_ids_.
  absl::Status Probe();
  absl::Status CheckMarkers(const jinja::Text& rendered) const;
  absl::Status FindEndOfTurn(const jinja::Text& rendered);

  absl::StatusOr<jinja::Rendered> RenderTagged(const std::vector<ChatMessage>& messages,
                                               const std::vector<ChatTool>& tools,
                                               bool for_answer) const;
  absl::StatusOr<std::vector<AnswerSpan>> AnswersIn(const jinja::Rendered& rendered,
                                                    const std::vector<ChatMessage>& messages,
                                                    const std::vector<ChatTool>& tools) const;
  absl::Status CheckPromptBefore(const AnswerSpan& answer, const jinja::Rendered& rendered,
                                 const std::vector<ChatMessage>& messages,
                                 const std::vector<ChatTool>& tools) const;
  // Encodes answers and what stands between them apart from each other; `answer` is null between.
  void EncodeStretches(
      const jinja::Text& text, const std::vector<AnswerSpan>& answers,
      const std::function<void(const AnswerSpan* answer, std::vector<int32_t> ids)>& stretch) const;

  std::shared_ptr<const jinja::Program> program_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  ChatTemplateOptions options_;
  AnswerMarks marks_;
  std::vector<int32_t> stop_ids_;
};

// The template of a base (a Hugging Face folder or a GGUF file) that has none: ChatML, if the
// vocabulary has its markers; else Unimplemented MODEL_UNSUPPORTED, naming `path`.
absl::StatusOr<std::string> ChatMlFor(const Tokenizer& tokenizer, const std::string& path,
                                      bool folder);

}  // namespace crossover::llm
