// A request to the model server, whichever way it came.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "llm/chat/message.h"
#include "llm/constrain/spec.h"
#include "llm/generate/engine.h"
#include "services/model_server/domain/patience.h"

namespace crossover::inference {

struct ChatPrompt {
  std::vector<llm::ChatMessage> messages;
  std::vector<llm::ChatTool> tools;
  // ISO 8601 date that Llama 3.1 templates print; "" = the template's own. Frozen, so that equal
  // requests render equally.
  std::string date;
};

// Messages, token ids as they are, or text without a template.
using Prompt = std::variant<ChatPrompt, std::vector<int32_t>, std::string>;

struct Sampling {
  std::optional<double> temperature;         // 0 to 2, default 1.
  std::optional<double> top_p;               // (0, 1], default 1.
  std::optional<int64_t> top_k;              // >= 0, default 0 = off.
  std::optional<int64_t> seed;               // Absent: a random one.
  std::optional<int64_t> n;                  // 1 to 128, default 1.
  std::optional<int64_t> max_tokens;         // Absent: what the context has room for.
  std::vector<std::string> stop;             // At most 16, none empty.
  std::map<int32_t, double> logit_bias;      // -100 to 100.
  std::optional<double> repetition_penalty;  // (0, 10], default 1 = off.
  std::optional<double> presence_penalty;    // -2 to 2, default 0.
  std::optional<double> frequency_penalty;   // -2 to 2, default 0.
  std::optional<int64_t> logprobs;           // Alternatives a position, 0 to 20; absent = none.
};

// An adapter and what its contribution is multiplied by.
struct AdapterWeight {
  std::string model;  // `sha256:…` or a name.
  double weight = 1;
};

struct GenerateCommand {
  std::string model;
  // Instead of one adapter: the weighted sum of several, on the base that `model` names.
  std::vector<AdapterWeight> mix;
  Prompt prompt;
  std::string prompt_field = "prompt";  // Where the request says so, for messages.
  Sampling sampling;
  std::string cache_salt;
  bool no_cache = false;
  Patience patience;     // While its models are read.
  std::string caller;    // Whose share of the engine this takes.
  int64_t priority = 0;  // Higher is earlier.
  // What the answer must match. Where there are tools, it may be a call of one instead.
  std::optional<llm::ConstraintSpec> constraint;
  std::string constraint_field;  // Where the request says so, for messages.
  // The answer must be a call of this tool, or of any with "". Goes before `constraint`.
  std::optional<std::string> forced_tool;
  // Of Inference::NewCall: commands with the same are one call, queued or refused as a whole. 0: a
  // call of its own.
  uint64_t call = 0;
};

struct ScoreItem {
  Prompt prompt;
  std::vector<std::string> continuations;
  // Instead of continuations: the prompt's own tokens after its first.
  bool prompt_itself = false;
  std::string prompt_field = "prompt";  // where the request has it, for messages
};

struct ScoreCommand {
  std::string model;
  std::vector<ScoreItem> items;
  int64_t top_logprobs = 0;  // Alternatives a position, 0 to 20.
  std::string cache_salt;
  Patience patience;
  std::string caller;
};

struct EmbedCommand {
  std::string model;
  std::vector<Prompt> texts;         // 1 to 2,048.
  std::string list_field = "texts";  // Where the request has them, for messages, …
  std::vector<std::string> fields;   // … and each of them; empty: texts[i].
  // Keep so many leading components and normalise again; absent: all.
  std::optional<int64_t> dimensions;
  Patience patience;
  std::string caller;
};

// INVALID_ARGUMENT `FIELD_INVALID` with a violation for each value out of range; `prefix` goes
// before the field names.
absl::Status Validate(const Sampling& sampling, const std::string& prefix);

// What the answer must match, tools considered; nullopt: anything.
std::optional<llm::ConstraintSpec> ConstraintOf(const GenerateCommand& command);

// The engine's sampling for answer `index` of n. `room` is what the context leaves for the answer.
llm::Sampling ToEngine(const Sampling& sampling, uint64_t seed, int64_t index, int64_t room,
                       const std::vector<int32_t>& stop_ids);

}  // namespace crossover::inference
