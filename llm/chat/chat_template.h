// Renders conversations the way the model was trained on them.
//
// Which rendering a model uses is read from its own template (Jinja text): it is not executed, but
// recognised by its markers, and what varies between models (default system text, trimming, tool
// sections) is taken from it.
//   ChatML   "<|im_start|>{role}\n{content}<|im_end|>\n": SmolLM2, Qwen2, Qwen2.5
//   Llama 3  "<|start_header_id|>{role}<|end_header_id|>\n\n{content}<|eot_id|>": Llama 3, 3.1, 3.2
//   (with the date block)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/chat/message.h"
#include "llm/formats/gguf_file.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {

struct ChatTemplateOptions {
  // "Today Date" of Llama 3.1 and 3.2, frozen so that training, evaluation and serving see the same
  // text.
  std::string date = "26 Jul 2024";
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
// Tokens: an assistant's content is encoded apart from the header before it, because that is how
// the model meets it when it generates. So the ids of a prompt are always a prefix of the ids of
// the same conversation with its answer. Contents never become control tokens.
class ChatTemplate {
 public:
  // Unimplemented MODEL_UNSUPPORTED for a template of another family, or control tokens that the
  // tokenizer lacks.
  static absl::StatusOr<std::shared_ptr<const ChatTemplate>> FromText(
      std::string_view jinja, std::shared_ptr<const Tokenizer> tokenizer,
      ChatTemplateOptions options = {});

  // `tokenizer.chat_template` of the file; a file without one is ChatML if its vocabulary has the
  // markers.
  static absl::StatusOr<std::shared_ptr<const ChatTemplate>> FromGguf(
      const GgufFile& file, std::shared_ptr<const Tokenizer> tokenizer,
      ChatTemplateOptions options = {});

  // The conversation as text; with `for_answer`, followed by the header of the answer.
  // InvalidArgument FIELD_INVALID names the message ("messages[2].role") for an unknown role, an
  // empty conversation, or arguments or parameters that are no JSON. Unimplemented
  // MODEL_UNSUPPORTED for tools with a Llama 3 template.
  absl::StatusOr<std::string> Render(const std::vector<ChatMessage>& messages,
                                     const std::vector<ChatTool>& tools, bool for_answer) const;

  // The prompt of an answer to the conversation. Errors as Render.
  absl::StatusOr<std::vector<int32_t>> Prompt(const std::vector<ChatMessage>& messages,
                                              const std::vector<ChatTool>& tools = {}) const;

  // The ids of Render(); `assistant`, unless null, tells for each whether it belongs to an
  // assistant's content or end of turn.
  absl::StatusOr<std::vector<int32_t>> Tokens(const std::vector<ChatMessage>& messages,
                                              const std::vector<ChatTool>& tools, bool for_answer,
                                              std::vector<bool>* assistant = nullptr) const;

  // The ids of an answer and its end-of-turn token, as they follow Prompt().
  std::vector<int32_t> Answer(std::string_view content) const;

  // Weights are on the content of assistant messages (tool calls included) and the end-of-turn
  // token after it. InvalidArgument NO_TRAINED_TOKENS if nothing has a weight; FIELD_INVALID for a
  // weight that is negative or not finite; errors as Render.
  absl::StatusOr<TrainingSample> Training(const std::vector<ChatMessage>& messages,
                                          const std::vector<ChatTool>& tools = {},
                                          TrainedTurns turns = TrainedTurns::kAll) const;

  // Tokens that end an answer: the template's end of turn first, then the model's other end tokens.
  const std::vector<int32_t>& stop_ids() const { return stop_ids_; }

  const Tokenizer& tokenizer() const { return *tokenizer_; }

  virtual ~ChatTemplate() = default;

 protected:
  // A stretch of the rendered text.
  struct Piece {
    std::string text;
    bool trusted = true;  // Written by the template.
    int answer_of =
        -1;  // Index of the assistant message whose tokens these are: content and end of turn.
  };

  // One message of `messages` or what stands around them. The implementations differ in this only.
  virtual absl::StatusOr<std::vector<Piece>> Pieces(const std::vector<ChatMessage>& messages,
                                                    const std::vector<ChatTool>& tools,
                                                    bool for_answer) const = 0;

  ChatTemplate(std::shared_ptr<const Tokenizer> tokenizer, std::string end_of_turn,
               std::vector<int32_t> stop_ids);

 private:
  absl::StatusOr<std::vector<Piece>> CheckedPieces(const std::vector<ChatMessage>& messages,
                                                   const std::vector<ChatTool>& tools,
                                                   bool for_answer) const;
  // Encodes stretches of equal `answer_of` apart from each other.
  void EncodeStretches(
      const std::vector<Piece>& pieces,
      const std::function<void(int answer_of, std::vector<int32_t> ids)>& stretch) const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string end_of_turn_;
  std::vector<int32_t> stop_ids_;
};

}  // namespace crossover::llm
