// The (older) completions contract: prompts without a chat template, echo, and log-probabilities of
// prompts.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/model_server/domain/inference.h"
#include "services/model_server/transport/answer_request.h"

namespace crossover::inference {

struct CompletionsRequest {
  std::vector<GenerateCommand> commands;  // One for each prompt, alike but for it.
  bool stream = false;
  bool include_usage = false;
  bool echo = false;       // The answer begins with the prompt.
  bool generates = false;  // max_tokens is over 0.

  const std::string& model() const { return commands[0].model; }
  int64_t n() const { return commands[0].sampling.n.value_or(1); }
  int64_t choices() const { return static_cast<int64_t>(commands.size()) * n(); }
  const std::optional<int64_t>& logprobs() const { return commands[0].sampling.logprobs; }
  // Whether the prompts' own tokens are needed.
  bool scores_prompts() const { return echo && (logprobs().has_value() || !generates); }
  ScoreCommand PromptScores() const;
};

// max_tokens is 16 where it is left out, as in the contract. INVALID_ARGUMENT `FIELD_INVALID` with
// the path of the field; what RefuseUnserved names (openai_fields.h) is refused.
absl::StatusOr<CompletionsRequest> ParseCompletionsRequest(std::string_view body);

class CompletionsWriter final : public AnswerWriter {
 public:
  // Borrows all but the head. `scores`: of PromptScores, or empty.
  CompletionsWriter(AnswerHead head, const CompletionsRequest& request, const ScoreAnswer& scores,
                    const llm::Tokenizer& tokenizer);

  const AnswerHead& head() const override { return head_; }
  nlohmann::ordered_json Whole(const std::vector<Choice>& choices,
                               const TokenUsage& usage) const override;
  nlohmann::ordered_json Opening(int64_t index) const override;
  nlohmann::ordered_json Chunk(const AnswerPiece& piece) const override;
  nlohmann::ordered_json Usage(const TokenUsage& usage) const override;
  // For max_tokens 0.
  nlohmann::ordered_json EchoOnly() const;

 private:
  struct Position {
    int32_t id = 0;
    std::optional<float> logprob;  // None: the first token of a prompt.
    std::vector<llm::TokenLogprob> top;
  };
  std::string PromptText(int64_t index) const;
  std::vector<Position> PromptPositions(int64_t index) const;
  nlohmann::ordered_json Logprobs(const std::vector<Position>& positions, int64_t offset) const;
  nlohmann::ordered_json ChoiceJson(int64_t index, std::string text,
                                    const std::vector<Position>& positions, int64_t offset,
                                    const std::string& finish_reason) const;
  nlohmann::ordered_json Envelope() const;

  const AnswerHead head_;
  const CompletionsRequest& request_;
  const ScoreAnswer& scores_;
  const llm::Tokenizer& tokenizer_;
  // Characters of each answer so far, for text_offset in a stream.
  mutable std::vector<int64_t> written_;
};

}  // namespace crossover::inference
