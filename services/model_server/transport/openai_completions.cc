#include "services/model_server/transport/openai_completions.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/status_macros.h"
#include "llm/tokenizer/utf8.h"
#include "services/model_server/domain/field_error.h"
#include "services/model_server/transport/openai_fields.h"
#include "services/model_server/transport/openai_prompts.h"

namespace crossover::inference {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Of the contract, where max_tokens is left out.
constexpr int64_t kDefaultTokens = 16;
// Prompts of one request.
constexpr size_t kMaxPrompts = 256;

int64_t Characters(std::string_view text) {
  int64_t count = 0;
  for (const char byte : text) count += (static_cast<uint8_t>(byte) & 0xc0) != 0x80;
  return count;
}

// A token's text, or, where it is a part of a character, "bytes:\xe2\x82" as the contract has it.
std::string TokenText(int32_t id, const llm::Tokenizer& tokenizer) {
  const std::string_view bytes = tokenizer.Bytes(id);
  std::string text = llm::ToValidUtf8(bytes);
  if (text == bytes) return text;
  text = "bytes:";
  for (const char byte : bytes) absl::StrAppendFormat(&text, "\\x%02x", static_cast<uint8_t>(byte));
  return text;
}

absl::StatusOr<bool> ReadEcho(const nlohmann::json& root) {
  const auto echo = root.find("echo");
  if (echo == root.end() || echo->is_null()) return false;
  if (!echo->is_boolean()) return FieldError("echo", "must be true or false");
  return echo->get<bool>();
}

absl::StatusOr<std::optional<int64_t>> ReadCount(const nlohmann::json& root, const char* key) {
  const auto count = root.find(key);
  if (count == root.end() || count->is_null()) return std::nullopt;
  if (!count->is_number_integer()) return FieldError(key, "must be an integer");
  return count->get<int64_t>();
}

}  // namespace

ScoreCommand CompletionsRequest::PromptScores() const {
  ScoreCommand command{.model = model(),
                       .top_logprobs = logprobs().value_or(0),
                       .cache_salt = commands[0].cache_salt,
                       .patience = commands[0].patience,
                       .caller = commands[0].caller};
  for (const GenerateCommand& one : commands)
    command.items.push_back(
        {.prompt = one.prompt, .prompt_itself = true, .prompt_field = one.prompt_field});
  return command;
}

absl::StatusOr<CompletionsRequest> ParseCompletionsRequest(std::string_view body) {
  nlohmann::json root = ParseBody(body);
  if (!root.is_object())
    return FieldError("body", "must be a JSON object in UTF-8, at most 200 levels deep");
  GenerateCommand command;
  if (!root.contains("model") || !root["model"].is_string())
    return FieldError("model", "is required and must be a text");
  command.model = root["model"].get<std::string>();
  CompletionsRequest request;
  ASSIGN_OR_RETURN(request.echo, ReadEcho(root));
  ASSIGN_OR_RETURN(const std::optional<int64_t> logprobs, ReadCount(root, "logprobs"));
  ASSIGN_OR_RETURN(const std::optional<int64_t> max_tokens, ReadCount(root, "max_tokens"));
  ASSIGN_OR_RETURN(std::vector<PlacedPrompt> prompts,
                   ReadPrompts(root.value("prompt", nlohmann::json()), "prompt"));
  if (prompts.size() > kMaxPrompts)
    return FieldError("prompt", absl::StrCat("may hold at most ", kMaxPrompts, " prompts"));
  // These two mean something else in chat completions, whose reader reads the rest.
  root.erase("logprobs");
  root.erase("max_tokens");
  StreamFields stream;
  RETURN_IF_ERROR(ReadGenerationFields(root, body, command, stream));
  request.stream = stream.stream;
  request.include_usage = stream.include_usage;
  if (logprobs.value_or(0) < 0 || logprobs.value_or(0) > 20)
    return FieldError("logprobs", "must be from 0 to 20");
  command.sampling.logprobs = logprobs;
  if (max_tokens.value_or(kDefaultTokens) < 0)
    return FieldError("max_tokens", "must be 0 (with echo) or more");
  request.generates = max_tokens.value_or(kDefaultTokens) > 0;
  if (!request.generates && !request.echo)
    return FieldError("max_tokens", "may be 0 with echo only: there is nothing to answer");
  if (!request.generates && request.stream)
    return FieldError("stream", "needs max_tokens over 0: an echo comes as a whole");
  if (request.generates) command.sampling.max_tokens = max_tokens.value_or(kDefaultTokens);
  const bool scored = request.echo && (logprobs || !request.generates);
  if (scored && !command.mix.empty())
    return FieldError("adapter_mix", "is not served with echo of scores; leave echo out");
  for (PlacedPrompt& placed : prompts) {
    command.prompt = std::move(placed.prompt);
    command.prompt_field = std::move(placed.field);
    request.commands.push_back(command);
  }
  return request;
}

CompletionsWriter::CompletionsWriter(AnswerHead head, const CompletionsRequest& request,
                                     const ScoreAnswer& scores, const llm::Tokenizer& tokenizer)
    : head_(std::move(head)),
      request_(request),
      scores_(scores),
      tokenizer_(tokenizer),
      written_(static_cast<size_t>(request.choices()), 0) {}

std::string CompletionsWriter::PromptText(int64_t index) const {
  const Prompt& prompt = request_.commands[static_cast<size_t>(index / request_.n())].prompt;
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  std::string bytes;
  for (const int32_t id : std::get<std::vector<int32_t>>(prompt)) bytes += tokenizer_.Bytes(id);
  return llm::ToValidUtf8(bytes);
}

std::vector<CompletionsWriter::Position> CompletionsWriter::PromptPositions(int64_t index) const {
  std::vector<Position> positions;
  const size_t item = static_cast<size_t>(index / request_.n());
  if (item >= scores_.prompts.size()) return positions;
  for (const int32_t id : scores_.prompts[item]) positions.push_back({.id = id});
  if (scores_.items[item].empty()) return positions;  // One token.
  const ContinuationScore& score = scores_.items[item][0];
  for (size_t i = 0; i < score.ids.size(); ++i) {
    positions[i + 1].logprob = score.logprobs[i];
    if (!score.top.empty()) positions[i + 1].top = score.top[i];
  }
  return positions;
}

OrderedJson CompletionsWriter::Logprobs(const std::vector<Position>& positions,
                                        int64_t offset) const {
  OrderedJson tokens = OrderedJson::array(), logprobs = OrderedJson::array(),
              top = OrderedJson::array(), offsets = OrderedJson::array();
  for (const Position& position : positions) {
    tokens.push_back(TokenText(position.id, tokenizer_));
    logprobs.push_back(position.logprob ? OrderedJson(*position.logprob) : OrderedJson(nullptr));
    OrderedJson alternatives = OrderedJson::object();
    for (const llm::TokenLogprob& other : position.top)
      alternatives[TokenText(other.id, tokenizer_)] = other.logprob;
    top.push_back(position.logprob ? std::move(alternatives) : OrderedJson(nullptr));
    offsets.push_back(offset);
    if (!tokenizer_.IsSpecial(position.id)) offset += Characters(tokenizer_.Bytes(position.id));
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(top)},
          {"text_offset", std::move(offsets)}};
}

OrderedJson CompletionsWriter::ChoiceJson(int64_t index, std::string text,
                                          const std::vector<Position>& positions, int64_t offset,
                                          const std::string& finish_reason) const {
  return {
      {"index", index},
      {"text", std::move(text)},
      {"logprobs", request_.logprobs() ? Logprobs(positions, offset) : OrderedJson(nullptr)},
      {"finish_reason", finish_reason.empty() ? OrderedJson(nullptr) : OrderedJson(finish_reason)}};
}

OrderedJson CompletionsWriter::Envelope() const {
  return {{"id", head_.id},
          {"object", "text_completion"},
          {"created", head_.created},
          {"model", head_.model},
          {"system_fingerprint", head_.fingerprint},
          {"choices", OrderedJson::array()}};
}

OrderedJson CompletionsWriter::Whole(const std::vector<Choice>& choices,
                                     const TokenUsage& usage) const {
  OrderedJson out = Envelope();
  for (size_t i = 0; i < choices.size(); ++i) {
    const int64_t index = static_cast<int64_t>(i);
    std::string text;
    std::vector<Position> positions;
    if (request_.echo) {
      text = PromptText(index);
      positions = PromptPositions(index);
    }
    text += choices[i].text;
    for (const llm::GeneratedToken& token : choices[i].tokens)
      positions.push_back({token.id, token.logprob, token.top});
    out["choices"].push_back(
        ChoiceJson(index, std::move(text), positions, 0, choices[i].finish_reason));
  }
  out["usage"] = UsageJson(usage);
  return out;
}

OrderedJson CompletionsWriter::EchoOnly() const {
  TokenUsage usage = scores_.usage;
  return Whole(
      std::vector<Choice>(static_cast<size_t>(request_.choices()), {.finish_reason = "length"}),
      usage);
}

OrderedJson CompletionsWriter::Opening(int64_t index) const {
  if (!request_.echo) return nullptr;
  OrderedJson chunk = Envelope();
  std::string text = PromptText(index);
  written_[static_cast<size_t>(index)] = Characters(text);
  chunk["choices"].push_back(ChoiceJson(index, std::move(text), PromptPositions(index), 0, ""));
  if (request_.include_usage) chunk["usage"] = nullptr;
  return chunk;
}

OrderedJson CompletionsWriter::Chunk(const AnswerPiece& piece) const {
  OrderedJson chunk = Envelope();
  std::vector<Position> positions;
  for (const llm::GeneratedToken& token : piece.tokens)
    positions.push_back({token.id, token.logprob, token.top});
  int64_t& offset = written_[static_cast<size_t>(piece.index)];
  chunk["choices"].push_back(
      ChoiceJson(piece.index, piece.text, positions, offset, piece.finish_reason));
  offset += Characters(piece.text);
  if (request_.include_usage) chunk["usage"] = nullptr;
  return chunk;
}

OrderedJson CompletionsWriter::Usage(const TokenUsage& usage) const {
  OrderedJson chunk = Envelope();
  chunk["usage"] = UsageJson(usage);
  return chunk;
}

}  // namespace crossover::inference
