// Turns requests into answers: finds the model, renders and tokenises the prompt, runs the engine,
// counts.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/id/random.h"
#include "common/time/clock.h"
#include "llm/chat/message.h"
#include "llm/generate/engine.h"
#include "services/model_server/domain/command.h"
#include "services/model_server/domain/loaded_models.h"

namespace crossover::inference {

struct TokenUsage {
  int64_t input = 0;  // Prompt tokens, cached ones included; once, also for n > 1.
  int64_t cached_input = 0;
  int64_t output = 0;
};

struct RequestTiming {
  absl::Duration queue;        // Of the first answer.
  absl::Duration first_token;  // Earliest of the answers.
  absl::Duration total;
};

// New tokens of one answer.
struct AnswerPiece {
  int64_t index = 0;
  std::string text;  // Whole characters.
  std::vector<llm::GeneratedToken> tokens;
  // On the answer's last piece "stop", "length" or "tool_calls", else "".
  std::string finish_reason;
  std::vector<llm::ToolCall> tool_calls;  // On the last piece; their text is in no piece.
};

struct AnswerSummary {
  TokenUsage usage;
  RequestTiming timing;
};

// Text and shape of a model's tokens, for those who write answers out.
struct AnswerStart {
  std::string fingerprint;  // The digest that answers.
  std::shared_ptr<const llm::Tokenizer> tokenizer;
};

// Where an answer goes. One call at a time; must not block.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  // The first call, from the thread that asked.
  virtual void OnStart(const AnswerStart& start) = 0;
  // From the engine's thread.
  virtual void OnPiece(AnswerPiece piece) = 0;
  // The last call, from the engine's thread. CANCELLED if it was cancelled.
  virtual void OnDone(absl::StatusOr<AnswerSummary> summary) = 0;
};

// One request in progress, of Generate or Score. Thread-safe.
class Generation {
 public:
  virtual ~Generation() = default;
  // Frees the slots at the next token. The last callback still comes, with CANCELLED.
  virtual void Cancel() = 0;
};

struct WholeAnswer {
  std::string text;
  std::vector<llm::GeneratedToken> tokens;
  std::string finish_reason;
};

struct ContinuationScore {
  double logprob = 0;
  bool greedy = false;  // Greedy decoding would have produced it.
  std::vector<int32_t> ids;
  std::vector<float> logprobs;                      // As ids.
  std::vector<std::vector<llm::TokenLogprob>> top;  // As ids, most likely first, if asked for.
};

struct ScoreAnswer {
  std::vector<std::vector<ContinuationScore>> items;
  std::vector<std::vector<int32_t>> prompts;  // Of the items.
  TokenUsage usage;
  AnswerStart start;
};

struct EmbedAnswer {
  std::vector<std::vector<float>> embeddings;  // Euclidean length 1.
  TokenUsage usage;
  AnswerStart start;
};

struct RenderedChat {
  std::string text;
  std::vector<int32_t> ids;
  std::vector<bool> assistant;  // As ids: counted in training.
};

// What happened, for metrics. Thread-safe implementations.
class InferenceObserver {
 public:
  virtual ~InferenceObserver() = default;
  virtual void OnRequest(const absl::Status& outcome, const AnswerSummary& summary) = 0;
  // Of Score and Embed.
  virtual void OnScore(const absl::Status& outcome, const TokenUsage& usage) = 0;
};

// Thread-safe. Borrows everything; clock and observer must outlive `models`, whose engines call
// them at the end of a request. All may block while a model is read: see LoadedModels::Acquire.
class Inference {
 public:
  using OnScore = std::function<void(absl::StatusOr<ScoreAnswer>)>;
  using OnEmbed = std::function<void(absl::StatusOr<EmbedAnswer>)>;

  Inference(LoadedModels& models, Clock& clock, RandomSource& random, InferenceObserver& observer);

  // An error means that `sink` hears nothing after OnStart. INVALID_ARGUMENT `FIELD_INVALID`,
  // `CONTEXT_LENGTH_EXCEEDED`, `CONSTRAINT_INVALID`; NOT_FOUND `MODEL_NOT_FOUND`;
  // RESOURCE_EXHAUSTED `QUEUE_FULL`; errors of LoadedModels::LoadAdapter.
  absl::StatusOr<std::shared_ptr<Generation>> Generate(const GenerateCommand& command,
                                                       std::shared_ptr<AnswerSink> sink);

  // `done` is called once if the result is OK, from the engine's thread or before Score returns.
  absl::StatusOr<std::shared_ptr<Generation>> Score(const ScoreCommand& command, OnScore done);

  // Mean-pooled last hidden states. As Score.
  absl::StatusOr<std::shared_ptr<Generation>> Embed(const EmbedCommand& command, OnEmbed done);

  absl::StatusOr<std::vector<std::vector<int32_t>>> Tokenize(const std::string& model,
                                                             const std::vector<std::string>& texts,
                                                             bool parse_special,
                                                             const Patience& patience = {});
  absl::StatusOr<RenderedChat> Render(const std::string& model, const ChatPrompt& chat,
                                      bool for_answer, const Patience& patience = {});

  // For GenerateCommand::call; never twice the same.
  uint64_t NewCall() { return ++calls_; }

  LoadedModels& models() { return models_; }

 private:
  // Errors name `field`. `answer`: tokens that must have room after it.
  absl::StatusOr<std::vector<int32_t>> PromptIds(const LoadedBase& base, const Prompt& prompt,
                                                 const std::string& field, int64_t answer) const;
  absl::StatusOr<std::shared_ptr<const llm::ChatTemplate>> TemplateFor(
      const LoadedBase& base, const std::string& date) const;
  absl::StatusOr<std::shared_ptr<Generation>> Start(const GenerateCommand& command,
                                                    std::shared_ptr<AnswerSink> sink);
  absl::StatusOr<std::shared_ptr<Generation>> StartScore(const ScoreCommand& command, OnScore done);
  absl::StatusOr<std::shared_ptr<Generation>> StartEmbed(const EmbedCommand& command, OnEmbed done);
  // Holds the adapters of a mix, which must stand on `base`, and names them to the engine.
  absl::Status AddMix(const GenerateCommand& command, const ModelLease& base,
                      std::vector<ModelLease>& leases, llm::GenerateRequest& request);
  uint64_t RandomSeed();

  LoadedModels& models_;
  Clock& clock_;
  RandomSource& random_;
  InferenceObserver& observer_;
  std::atomic<uint64_t> uncached_{0};
  std::atomic<uint64_t> calls_{0};
};

}  // namespace crossover::inference
