// Batched text generation with one base model and any number of LoRA adapters.
//
// Torch-free: services include this header. Thread-safe. One thread of the engine computes; every
// callback runs on it and must return at once (hand the delta to another thread, never wait).
//
// Requests join and leave the running batch at token boundaries (continuous batching); rows of
// different adapters share a batch. Keys and values of prompt prefixes are kept and reused, keyed
// by (adapter registration, cache_salt, tokens): an adapter that was replaced by another under its
// key never meets stale entries, and one that comes back with the same content finds its own.
//
// Reproducible: a request's random numbers depend on its seed and the token's position only, and
// its logits are the same whatever else is in the batch or is guessed, but for rounding, which can
// change an answer where two tokens are as good as equal:
// * Attention to keys and values that are shared with another request is rounded apart from that to
//   its own. In fp32 that is hardly to be seen; in bf16 an answer whose beginning was taken from
//   the cache may differ from one computed alone.
// * In bf16 with int8 or int4 weights (DecodeWeights), steps of up to four rows are computed by
//   another kernel than larger ones, so the size of the batch and guesses may show.
// * On processors without kernels of ours or oneDNN's (PackedLinear), LibTorch's products promise
//   nothing about a row among others.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/model/base_model.h"

namespace crossover::llm {

class Constraint;  // llm/constrain/constraint.h

struct Sampling {
  double temperature = 1.0;  // 0: greedy (the most likely token, lowest id on a tie).
  double top_p = 1.0;        // Keep the smallest set of tokens with at least this probability.
  int top_k = 0;             // Over 0: keep that many.
  uint64_t seed = 0;
  int64_t max_tokens = 256;
  std::vector<int32_t> stop_ids;  // Ends the answer; the token itself is not part of it. Usually
                                  // the model's end tokens.
  std::vector<std::string> stop;  // Ends the answer before the first occurrence in its text.
  struct Bias {
    int32_t id = 0;
    float bias = 0;
  };
  std::vector<Bias> logit_bias;
  double repetition_penalty = 1;  // Over 0; divides logits of tokens seen before (penalties.h).
  double presence_penalty = 0;    // -2 to 2, taken off logits of tokens in the answer …
  double frequency_penalty = 0;   // … once, and once for each time.
  int top_logprobs =
      -1;  // -1: none; 0: of the chosen token; n: of the n most likely as well (at most 20).
};

// One adapter of a sum.
struct AdapterPart {
  std::string adapter;  // Key given to LoadAdapter.
  float weight = 1;     // Multiplies its contribution; any sign.
};

struct GenerateRequest {
  std::string adapter;  // Key given to LoadAdapter; "" is the base model.
  // Instead of `adapter`: the base plus the weighted sum of these adapters' contributions.
  std::vector<AdapterPart> mix;
  std::vector<int32_t> prompt;
  Sampling sampling;
  std::string cache_salt;  // Requests with different salts share no cached prefix.
  // What the answer must match; null: anything. Other tokens have probability 0, before everything
  // else; the stop ids may come where the answer is whole, and where nothing else may, it ends
  // without one. An answer that max_tokens cut off is the beginning of one that matches.
  std::shared_ptr<const Constraint> constraint;
  // Whoever asks. Callers share the engine fairly, and the adapters of one its share: see
  // fair_order.h.
  std::string caller;
  int priority = 0;  // Higher is admitted first.
  // Other than 0: requests of the caller with the same number are one call, which waits as one and
  // is refused before anything of it waits, or not at all (waiting_calls.h).
  uint64_t call = 0;
};

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;  // Natural log, of the model's distribution over the tokens that the
                      // constraint allows, before penalties, temperature and filters.
};

struct GeneratedToken {
  int32_t id = 0;
  float logprob = 0;              // 0 unless top_logprobs >= 0.
  std::vector<TokenLogprob> top;  // Most likely first.
};

// What is new since the last delta. `text` holds whole UTF-8 characters only and nothing of a stop
// string, so it may lag behind `tokens`.
struct GenerateDelta {
  std::vector<GeneratedToken> tokens;
  std::string text;
};

enum class FinishReason { kStop, kLength, kCancelled };

struct GenerateResult {
  std::vector<GeneratedToken> tokens;  // Without the stop id.
  std::string text;
  FinishReason finish = FinishReason::kStop;
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;  // Of these, taken from the prefix cache.
  double queue_seconds = 0;          // Submit to first computation.
  double first_token_seconds = 0;    // Submit to first token.
  double total_seconds = 0;
};

// Log-probabilities of given continuations of one prompt.
struct ScoreRequest {
  std::string adapter;
  std::vector<int32_t> prompt;  // May not be empty: the first token has no distribution.
  std::vector<std::vector<int32_t>> continuations;
  int top_logprobs = 0;  // Of so many most likely tokens at each position as well, at most 20.
  std::string cache_salt;
  std::string caller;
  uint64_t call = 0;  // As GenerateRequest's.
};

struct ScoreResult {
  std::vector<std::vector<float>> logprobs;  // As the continuations.
  std::vector<bool> greedy;                  // Of each: greedy decoding would have produced it.
  // Of each token the most likely ones at its position, most likely first; empty if not asked for.
  std::vector<std::vector<std::vector<TokenLogprob>>> top;
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;
};

// Averages of the last hidden states (after the final norm) of each text's tokens.
struct EmbedRequest {
  std::string adapter;
  std::vector<std::vector<int32_t>> texts;  // None empty.
  std::string caller;
};

struct EmbedResult {
  std::vector<std::vector<float>> embeddings;  // As the texts, [hidden size] each.
  int64_t prompt_tokens = 0;
};

// What steps with few rows multiply with. They wait for the memory that holds the weights.
enum class DecodeWeights {
  kDense,  // The base's own number type.
  kInt8,   // 8 bits a number, a scale for each row.
  kInt4,   // 4 bits a number, scale and minimum for each 32, where the shape allows it; int8
           // elsewhere and in the head.
};

// "dense", "int8" or "int4"; for another text InvalidArgument CONFIG_INVALID, which tells these.
absl::StatusOr<DecodeWeights> ParseDecodeWeights(std::string_view setting, std::string_view text);

struct EngineOptions {
  int max_batch_rows = 32;  // Sequences computed together.
  // Waiting calls; one more is refused, unless its caller has less than its share of them
  // (waiting_calls.h).
  int64_t max_queue = 1024;
  int64_t max_step_tokens = 512;  // Prompt tokens computed in one step (chunked prefill), so that
                                  // running answers keep moving.
  // Keys and values of running rows and cached prefixes together. Taken as answers grow: what
  // max_tokens allows costs nothing until it is used.
  int64_t kv_budget_bytes = 1 << 30;
  // Steps with fewer rows are filled up to this number with guesses of the tokens after next,
  // looked up in what each sequence has said before. Answers stay the same, but for rounding in
  // bf16 with int8 or int4 weights (see the top). 0: no guesses.
  int64_t speculative_rows = 8;
  // All steps then compute with the quantised numbers. In fp32 by the same kernels; in bf16 those
  // of up to four rows by LibTorch's and larger ones in bf16, so that there an answer depends by
  // rounding on how many rows a step has.
  DecodeWeights decode_weights = DecodeWeights::kDense;
  // Bytes of one token, for text and stop strings (tokenizer). Special tokens give "". Called on
  // the engine's thread.
  std::function<std::string(int32_t)> token_bytes;
};

struct EngineStats {
  int64_t queued = 0;  // Calls, as max_queue counts them.
  int64_t running = 0;
  int64_t kv_bytes_running = 0;
  int64_t kv_bytes_cached = 0;
  int64_t prompt_tokens_total = 0;
  int64_t cached_prompt_tokens_total = 0;
  int64_t generated_tokens_total = 0;
  int64_t steps_total = 0;
  int64_t preemptions_total = 0;      // A running request went back to the queue for want of cache.
  int64_t drafted_tokens_total = 0;   // Guessed by lookup,
  int64_t accepted_drafts_total = 0;  // and found right.
  // For how long there has been work and no step has ended. 0 when idle.
  double stalled_seconds = 0;
};

struct AdapterInfo {
  std::string key;
  int rank = 0;
  int64_t bytes = 0;
  int64_t in_flight = 0;
};

using RequestId = uint64_t;

class Engine {
 public:
  using OnDelta = std::function<void(const GenerateDelta&)>;
  using OnDone = std::function<void(absl::StatusOr<GenerateResult>)>;
  using OnScore = std::function<void(absl::StatusOr<ScoreResult>)>;
  using OnEmbed = std::function<void(absl::StatusOr<EmbedResult>)>;

  static absl::StatusOr<std::unique_ptr<Engine>> Create(std::shared_ptr<const BaseModel> base,
                                                        EngineOptions options);
  // Cancels what is queued and running (each OnDone is called with Cancelled) and joins the thread.
  ~Engine();

  // Loads a PEFT folder under `key`, while requests run. A key that is loaded already is replaced
  // for later requests; running ones finish with the weights they began with. `content` is what the
  // folder holds, such as its digest: adapters with the same share cached prefixes, also one that
  // was unloaded and comes back. "": unlike all others.
  absl::Status LoadAdapter(const std::string& key, const std::string& peft_folder,
                           const std::string& content = "");
  // NotFound if there is none. Running requests finish.
  absl::Status UnloadAdapter(const std::string& key);
  std::vector<AdapterInfo> Adapters() const;

  // Most tokens that the prompt and max_tokens of one request may have together: what the model's
  // positions and kv_budget_bytes allow.
  int64_t max_sequence_tokens() const;

  // Queues a request. `on_delta` may be null; `on_done` is called exactly once if the result is OK.
  // NotFound("ADAPTER_NOT_LOADED"), InvalidArgument("CONTEXT_TOO_LONG": over max_sequence_tokens;
  // "EMPTY_PROMPT", "TOKEN_OUT_OF_RANGE", "BAD_SAMPLING", "BAD_MIX"),
  // ResourceExhausted("QUEUE_FULL").
  absl::StatusOr<RequestId> Submit(GenerateRequest request, OnDelta on_delta, OnDone on_done);
  absl::StatusOr<RequestId> Submit(ScoreRequest request, OnScore on_done);
  absl::StatusOr<RequestId> Submit(EmbedRequest request, OnEmbed on_done);

  // Ends a request at the next token boundary; its OnDone gets the tokens so far with
  // FinishReason::kCancelled. Unknown or finished ids are ignored.
  void Cancel(RequestId id);

  // Submit and wait, for tools and tests. Not from a callback.
  absl::StatusOr<GenerateResult> Generate(GenerateRequest request);
  absl::StatusOr<ScoreResult> Score(ScoreRequest request);
  absl::StatusOr<EmbedResult> Embed(EmbedRequest request);

  EngineStats Stats() const;

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::llm
