#include "llm/chat/chat_template.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/chat/families.h"

namespace crossover::llm {
namespace {

constexpr std::string_view kTemplateKey = "tokenizer.chat_template";

absl::Status Unsupported(std::string_view message) {
  return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED", message);
}

absl::Status CheckMarkers(const Tokenizer& tokenizer,
                          std::initializer_list<std::string_view> markers) {
  for (const std::string_view marker : markers) {
    if (tokenizer.FindAdded(marker)) continue;
    return Unsupported(absl::StrCat("the chat template uses ", ToAbsl(marker),
                                    ", which the tokenizer does not have"));
  }
  return absl::OkStatus();
}

absl::Status CheckChatMl(const Tokenizer& tokenizer) {
  return CheckMarkers(tokenizer, {"<|im_start|>", "<|im_end|>"});
}

// The loss weight of each message: 0 for all but assistants.
absl::StatusOr<std::vector<float>> WeightsOf(const std::vector<ChatMessage>& messages,
                                             TrainedTurns turns) {
  std::vector<float> weights(messages.size(), 0.0f);
  size_t last = messages.size();
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role == "assistant") last = i;
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != "assistant") continue;
    const double weight =
        messages[i].weight.value_or(turns == TrainedTurns::kAll || i == last ? 1.0 : 0.0);
    if (!std::isfinite(weight) || weight < 0)
      return BadMessage(i, "weight", "must be a finite number of at least 0");
    weights[i] = static_cast<float>(weight);
  }
  return weights;
}

}  // namespace

std::vector<int32_t> EndTokens(const Tokenizer& tokenizer,
                               std::initializer_list<std::string_view> names) {
  std::vector<int32_t> ids;
  const auto add = [&](std::optional<int32_t> id) {
    if (id && std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  };
  for (const std::string_view name : names) add(tokenizer.FindAdded(name));
  add(tokenizer.eos_id());
  return ids;
}

absl::Status BadMessage(size_t index, std::string_view field, std::string_view problem) {
  const std::string path = absl::StrCat("messages[", index, "].", ToAbsl(field));
  return Error(
      absl::StatusCode::kInvalidArgument, absl::StrCat(path, " ", ToAbsl(problem)),
      ErrorDetail{.reason = "FIELD_INVALID", .violations = {{path, std::string(problem)}}});
}

absl::StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::FromText(
    std::string_view jinja, std::shared_ptr<const Tokenizer> tokenizer,
    ChatTemplateOptions options) {
  const auto has = [&](std::string_view marker) {
    return jinja.find(marker) != std::string_view::npos;
  };
  if (has("<|im_start|>")) {
    RETURN_IF_ERROR(CheckChatMl(*tokenizer));
    return std::make_shared<const ChatMlTemplate>(jinja, std::move(tokenizer));
  }
  if (has("<|start_header_id|>")) {
    RETURN_IF_ERROR(CheckMarkers(*tokenizer, {"<|begin_of_text|>", "<|start_header_id|>",
                                              "<|end_header_id|>", "<|eot_id|>"}));
    return std::make_shared<const Llama3Template>(jinja, std::move(tokenizer),
                                                  std::move(options.date));
  }
  return Unsupported(absl::StrCat("the chat template is neither ChatML nor Llama 3",
                                  has("[INST]") ? " (it has [INST], as Mistral's)" : "",
                                  "; it begins with: ", ToAbsl(jinja.substr(0, 80))));
}

absl::StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::FromGguf(
    const GgufFile& file, std::shared_ptr<const Tokenizer> tokenizer, ChatTemplateOptions options) {
  if (!file.Has(kTemplateKey)) {
    if (!CheckChatMl(*tokenizer).ok()) {
      return Unsupported(absl::StrCat(
          file.path(), ": the file has no chat template (metadata key '", ToAbsl(kTemplateKey),
          "'), and its vocabulary lacks <|im_start|> or <|im_end|>, so it is not ChatML either; "
          "choose the file of an instruct model, or add the key"));
    }
    return std::make_shared<const ChatMlTemplate>("", std::move(tokenizer));
  }
  ASSIGN_OR_RETURN(const std::string jinja, file.GetString(kTemplateKey));
  auto result = FromText(jinja, std::move(tokenizer), std::move(options));
  if (!result.ok()) return WithContext(result.status(), file.path());
  return result;
}

ChatTemplate::ChatTemplate(std::shared_ptr<const Tokenizer> tokenizer, std::string end_of_turn,
                           std::vector<int32_t> stop_ids)
    : tokenizer_(std::move(tokenizer)),
      end_of_turn_(std::move(end_of_turn)),
      stop_ids_(std::move(stop_ids)) {}

absl::StatusOr<std::vector<ChatTemplate::Piece>> ChatTemplate::CheckedPieces(
    const std::vector<ChatMessage>& messages, const std::vector<ChatTool>& tools,
    bool for_answer) const {
  if (messages.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "messages must hold at least one message",
                 {.reason = "FIELD_INVALID",
                  .violations = {{"messages", "must hold at least one message"}}});
  }
  return Pieces(messages, tools, for_answer);
}

void ChatTemplate::EncodeStretches(
    const std::vector<Piece>& pieces,
    const std::function<void(int answer_of, std::vector<int32_t> ids)>& stretch) const {
  std::vector<TextSpan> spans;
  for (size_t i = 0; i < pieces.size(); ++i) {
    spans.push_back({pieces[i].text, pieces[i].trusted});
    if (i + 1 < pieces.size() && pieces[i + 1].answer_of == pieces[i].answer_of) continue;
    stretch(pieces[i].answer_of, tokenizer_->Encode(spans));
    spans.clear();
  }
}

absl::StatusOr<std::string> ChatTemplate::Render(const std::vector<ChatMessage>& messages,
                                                 const std::vector<ChatTool>& tools,
                                                 bool for_answer) const {
  ASSIGN_OR_RETURN(const std::vector<Piece> pieces, CheckedPieces(messages, tools, for_answer));
  std::string text;
  for (const Piece& piece : pieces) text += piece.text;
  return text;
}

absl::StatusOr<std::vector<int32_t>> ChatTemplate::Tokens(const std::vector<ChatMessage>& messages,
                                                          const std::vector<ChatTool>& tools,
                                                          bool for_answer,
                                                          std::vector<bool>* assistant) const {
  ASSIGN_OR_RETURN(const std::vector<Piece> pieces, CheckedPieces(messages, tools, for_answer));
  std::vector<int32_t> all;
  EncodeStretches(pieces, [&](int answer_of, std::vector<int32_t> ids) {
    all.insert(all.end(), ids.begin(), ids.end());
    if (assistant != nullptr) assistant->resize(all.size(), answer_of >= 0);
  });
  return all;
}

absl::StatusOr<std::vector<int32_t>> ChatTemplate::Prompt(
    const std::vector<ChatMessage>& messages, const std::vector<ChatTool>& tools) const {
  return Tokens(messages, tools, true);
}

std::vector<int32_t> ChatTemplate::Answer(std::string_view content) const {
  const std::array<TextSpan, 2> spans = {TextSpan{content, false}, TextSpan{end_of_turn_, true}};
  return tokenizer_->Encode(spans);
}

absl::StatusOr<TrainingSample> ChatTemplate::Training(const std::vector<ChatMessage>& messages,
                                                      const std::vector<ChatTool>& tools,
                                                      TrainedTurns turns) const {
  ASSIGN_OR_RETURN(const std::vector<Piece> pieces, CheckedPieces(messages, tools, false));
  ASSIGN_OR_RETURN(const std::vector<float> message_weights, WeightsOf(messages, turns));
  TrainingSample sample;
  EncodeStretches(pieces, [&](int answer_of, std::vector<int32_t> ids) {
    sample.ids.insert(sample.ids.end(), ids.begin(), ids.end());
    sample.weights.resize(sample.ids.size(), answer_of < 0 ? 0.0f : message_weights[answer_of]);
  });
  if (!sample.weights.empty()) sample.weights[0] = 0;  // Nothing predicts the first token.
  while (!sample.weights.empty() && sample.weights.back() == 0) {
    sample.weights.pop_back();
    sample.ids.pop_back();
  }
  sample.trained_tokens =
      std::count_if(sample.weights.begin(), sample.weights.end(), [](float w) { return w > 0; });
  if (sample.trained_tokens == 0) {
    return Error(absl::StatusCode::kInvalidArgument, "NO_TRAINED_TOKENS",
                 "no token of this row would be trained: it needs an assistant message with a "
                 "weight over 0");
  }
  return sample;
}

}  // namespace crossover::llm
