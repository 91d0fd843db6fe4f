#include "llm/chat/chat_template.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/chat/conversation.h"

namespace crossover::llm {
namespace {

constexpr std::string_view kTemplateKey = "tokenizer.chat_template";

constexpr std::string_view kChatMl =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

absl::Status Unsupported(std::string_view message) {
  return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED", message);
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

// The stretches of [begin, end) by whether the template wrote them.
std::vector<TextSpan> SpansOf(const jinja::Text& text, size_t begin, size_t end) {
  std::vector<TextSpan> spans;
  for (const jinja::Text::Run& run : text.runs()) {
    const size_t stop = std::min(run.end, end);
    if (stop <= begin) continue;
    spans.push_back({text.view().substr(begin, stop - begin), run.source == jinja::kTemplate});
    begin = stop;
  }
  return spans;
}

std::vector<int32_t> EndTokens(const Tokenizer& tokenizer, int32_t end_of_turn) {
  std::vector<int32_t> ids = {end_of_turn};
  const auto add = [&](std::optional<int32_t> id) {
    if (id && std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  };
  for (const char* name : {"<|endoftext|>", "<|end_of_text|>", "<|eom_id|>"})
    add(tokenizer.FindAdded(name));
  add(tokenizer.eos_id());
  return ids;
}

}  // namespace

ChatTemplate::ChatTemplate(std::shared_ptr<const jinja::Program> program,
                           std::shared_ptr<const Tokenizer> tokenizer, ChatTemplateOptions options)
    : program_(std::move(program)), tokenizer_(std::move(tokenizer)), options_(options) {}

absl::StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::FromText(
    std::string_view jinja, std::shared_ptr<const Tokenizer> tokenizer,
    ChatTemplateOptions options) {
  ASSIGN_OR_RETURN(std::shared_ptr<const jinja::Program> program, jinja::Program::Compile(jinja));
  std::shared_ptr<ChatTemplate> chat(
      new ChatTemplate(std::move(program), std::move(tokenizer), options));
  RETURN_IF_ERROR(chat->Probe());
  return std::shared_ptr<const ChatTemplate>(std::move(chat));
}

absl::StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::FromGguf(
    const GgufFile& file, std::shared_ptr<const Tokenizer> tokenizer, ChatTemplateOptions options) {
  std::string jinja;
  if (file.Has(kTemplateKey)) {
    ASSIGN_OR_RETURN(jinja, file.GetString(kTemplateKey));
  } else {
    ASSIGN_OR_RETURN(jinja, ChatMlFor(*tokenizer, file.path(), /*folder=*/false));
  }
  auto result = FromText(jinja, std::move(tokenizer), options);
  if (!result.ok()) return WithContext(result.status(), file.path());
  return result;
}

absl::StatusOr<std::string> ChatMlFor(const Tokenizer& tokenizer, const std::string& path,
                                      bool folder) {
  if (tokenizer.FindAdded("<|im_start|>") && tokenizer.FindAdded("<|im_end|>"))
    return std::string(kChatMl);
  return Unsupported(absl::StrCat(
      path, ": the ", folder ? "folder" : "file", " has no chat template (",
      folder ? "chat_template.jinja, or chat_template in tokenizer_config.json"
             : absl::StrCat("metadata key '", ToAbsl(kTemplateKey), "'"),
      "), and its vocabulary lacks <|im_start|> or <|im_end|>, so it is not ChatML either; choose "
      "an instruct model, or add the template"));
}

absl::Status ChatTemplate::Probe() {
  const std::vector<ChatMessage> question = {{.role = "user", .content = "question"}};
  std::vector<ChatMessage> answered = question;
  answered.push_back({.role = "assistant", .content = "answer"});
  ASSIGN_OR_RETURN(const jinja::Rendered plain, RenderTagged(question, {}, false));
  ASSIGN_OR_RETURN(const jinja::Rendered asking, RenderTagged(question, {}, true));
  ASSIGN_OR_RETURN(const jinja::Rendered whole, RenderTagged(answered, {}, false));
  if (asking.text.view().starts_with(plain.text.view())) {
    marks_.header = asking.text.view().substr(plain.text.size());
  }
  RETURN_IF_ERROR(CheckMarkers(whole.text));
  return FindEndOfTurn(whole.text);
}

// A marker that the vocabulary lacks would become ordinary text, which the model never saw.
absl::Status ChatTemplate::CheckMarkers(const jinja::Text& rendered) const {
  const std::string_view text = rendered.view();
  for (size_t at = text.find("<|"); at != std::string_view::npos; at = text.find("<|", at + 2)) {
    const size_t end = text.find("|>", at);
    if (end == std::string_view::npos) break;
    const std::string_view marker = text.substr(at, end + 2 - at);
    if (marker.find_first_of(" \n") != std::string_view::npos) continue;
    if (tokenizer_->FindAdded(marker)) continue;
    return Unsupported(absl::StrCat("the chat template uses ", ToAbsl(marker),
                                    ", which the tokenizer does not have"));
  }
  return absl::OkStatus();
}

absl::Status ChatTemplate::FindEndOfTurn(const jinja::Text& rendered) {
  size_t begin = 0, content_end = std::string_view::npos;
  for (const jinja::Text::Run& run : rendered.runs()) {
    if (run.source == SourceOf(1)) content_end = run.end;
    begin = run.end;
  }
  if (content_end == std::string_view::npos) {
    return Unsupported("the chat template does not render what an assistant says");
  }
  const std::vector<TextSpan> tail = SpansOf(rendered, content_end, begin);
  std::string text;
  for (const int32_t id : tokenizer_->Encode(tail, /*continues=*/true)) {
    text += tokenizer_->Bytes(id);
    if (!tokenizer_->IsSpecial(id)) continue;
    marks_.end_of_turn = std::move(text);
    stop_ids_ = EndTokens(*tokenizer_, id);
    return absl::OkStatus();
  }
  return Unsupported(
      absl::StrCat("the chat template ends an answer with no control token of the tokenizer",
                   text.empty() ? "" : absl::StrCat(", but with: ", text.substr(0, 80))));
}

absl::StatusOr<jinja::Rendered> ChatTemplate::RenderTagged(const std::vector<ChatMessage>& messages,
                                                           const std::vector<ChatTool>& tools,
                                                           bool for_answer) const {
  if (messages.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "messages must hold at least one message",
                 {.reason = "FIELD_INVALID",
                  .violations = {{"messages", "must hold at least one message"}}});
  }
  if (!tools.empty() && !program_->Mentions("tools")) {
    return Unsupported(
        "the model's chat template knows no tools; describe them in the system message");
  }
  const bool calls = std::any_of(messages.begin(), messages.end(), [](const ChatMessage& message) {
    return !message.tool_calls.empty();
  });
  if (calls && !program_->Mentions("tool_calls"))
    return Unsupported("the model's chat template knows no tool calls");
  ASSIGN_OR_RETURN(jinja::Dict variables,
                   VariablesOf({messages, tools, for_answer, options_.date, *tokenizer_}));
  return program_->Render(std::move(variables));
}

absl::StatusOr<std::vector<AnswerSpan>> ChatTemplate::AnswersIn(
    const jinja::Rendered& rendered, const std::vector<ChatMessage>& messages,
    const std::vector<ChatTool>& tools) const {
  return FindAnswers(rendered, messages, marks_, [&](size_t index) -> absl::StatusOr<std::string> {
    if (index == 0) return std::string();
    return Render({messages.begin(), messages.begin() + static_cast<ptrdiff_t>(index)}, tools,
                  true);
  });
}

void ChatTemplate::EncodeStretches(
    const jinja::Text& text, const std::vector<AnswerSpan>& answers,
    const std::function<void(const AnswerSpan* answer, std::vector<int32_t> ids)>& stretch) const {
  size_t done = 0;
  bool continues = false;
  const auto encode = [&](const AnswerSpan* answer, size_t end) {
    std::vector<int32_t> ids = tokenizer_->Encode(SpansOf(text, done, end), continues);
    done = end;
    // After a control token a text begins anew.
    if (!ids.empty()) continues = !tokenizer_->IsSpecial(ids.back());
    stretch(answer, std::move(ids));
  };
  for (const AnswerSpan& answer : answers) {
    encode(nullptr, answer.begin);
    encode(&answer, answer.end);
  }
  encode(nullptr, text.size());
}

absl::StatusOr<std::string> ChatTemplate::Render(const std::vector<ChatMessage>& messages,
                                                 const std::vector<ChatTool>& tools,
                                                 bool for_answer) const {
  ASSIGN_OR_RETURN(const jinja::Rendered rendered, RenderTagged(messages, tools, for_answer));
  return std::string(rendered.text.view());
}

absl::StatusOr<std::vector<int32_t>> ChatTemplate::Tokens(const std::vector<ChatMessage>& messages,
                                                          const std::vector<ChatTool>& tools,
                                                          bool for_answer,
                                                          std::vector<bool>* assistant) const {
  ASSIGN_OR_RETURN(const jinja::Rendered rendered, RenderTagged(messages, tools, for_answer));
  ASSIGN_OR_RETURN(const std::vector<AnswerSpan> answers, AnswersIn(rendered, messages, tools));
  std::vector<int32_t> all;
  EncodeStretches(rendered.text, answers, [&](const AnswerSpan* answer, std::vector<int32_t> ids) {
    all.insert(all.end(), ids.begin(), ids.end());
    if (assistant != nullptr) assistant->resize(all.size(), answer != nullptr);
  });
  return all;
}

absl::StatusOr<std::vector<int32_t>> ChatTemplate::Prompt(
    const std::vector<ChatMessage>& messages, const std::vector<ChatTool>& tools) const {
  return Tokens(messages, tools, true);
}

std::vector<int32_t> ChatTemplate::Answer(std::string_view content) const {
  const std::array<TextSpan, 2> spans = {TextSpan{content, false},
                                         TextSpan{marks_.end_of_turn, true}};
  return tokenizer_->Encode(spans);
}

absl::Status ChatTemplate::CheckPromptBefore(const AnswerSpan& answer,
                                             const jinja::Rendered& rendered,
                                             const std::vector<ChatMessage>& messages,
                                             const std::vector<ChatTool>& tools) const {
  if (answer.message == 0) return absl::OkStatus();  // Nothing would be asked.
  ASSIGN_OR_RETURN(
      const std::string prompt,
      Render({messages.begin(), messages.begin() + static_cast<ptrdiff_t>(answer.message)}, tools,
             true));
  if (rendered.text.view().substr(0, answer.begin) == prompt) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "PROMPT_MISMATCH",
               absl::StrCat("messages[", answer.message,
                            "]: the model's chat template writes the conversation before this "
                            "answer in another way once it goes on, so the model would be asked "
                            "otherwise than it was trained; train the last answer only, or cut the "
                            "row after this answer"));
}

absl::StatusOr<TrainingSample> ChatTemplate::Training(const std::vector<ChatMessage>& messages,
                                                      const std::vector<ChatTool>& tools,
                                                      TrainedTurns turns) const {
  ASSIGN_OR_RETURN(const jinja::Rendered rendered, RenderTagged(messages, tools, false));
  ASSIGN_OR_RETURN(const std::vector<float> message_weights, WeightsOf(messages, turns));
  ASSIGN_OR_RETURN(const std::vector<AnswerSpan> answers, AnswersIn(rendered, messages, tools));
  for (const AnswerSpan& answer : answers) {
    if (message_weights[answer.message] > 0)
      RETURN_IF_ERROR(CheckPromptBefore(answer, rendered, messages, tools));
  }
  TrainingSample sample;
  EncodeStretches(rendered.text, answers, [&](const AnswerSpan* answer, std::vector<int32_t> ids) {
    sample.ids.insert(sample.ids.end(), ids.begin(), ids.end());
    sample.weights.resize(sample.ids.size(),
                          answer == nullptr ? 0.0f : message_weights[answer->message]);
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
