// What answers a row: a prompt version, a model and the way it is sampled. The domain's form of
// crossover.type.v1.System.
#pragma once

#include <cstdint>
#include <string>

#include "common/prompt/prompt_spec.h"

namespace crossover::evaluation {

enum class ModelKind { kNone, kBase, kAdapter, kUpstream };

// USD per million tokens. Declared, never guessed; `known` is false where nobody declared them.
struct Prices {
  bool known = false;
  double input = 0;
  double cached_input = 0;
  double output = 0;
  std::string origin;  // who declared them, in words: "the project's price list"
};

struct Usage {
  int64_t input = 0;
  int64_t cached_input = 0;
  int64_t output = 0;

  Usage& operator+=(const Usage& other);
  friend bool operator==(const Usage&, const Usage&) = default;
};

// "measured tokens at …": a cost is never measured alone.
std::string CostWords(const Prices& prices);

// USD of one request.
double CostOf(const Usage& usage, const Prices& prices);

struct System {
  std::string prompt_version;  // resource name; empty: messages go as they come
  ModelKind kind = ModelKind::kNone;
  std::string model;         // base slug, adapter alias, sha256:… , or the upstream's model id
  std::string model_digest;  // set when resolved (local models)
  std::string base_digest;
  std::string upstream;          // resource name
  std::string revision;          // of an upstream's model, set when resolved
  prompt::Sampling sampling;     // over the prompt's default
  std::string response_format;   // JSON, over the prompt's
  double timeout_seconds = 0;    // 0 = the runner's default
  int64_t max_input_tokens = 0;  // 0 = no limit
  double max_cost = 0;           // USD of one request; 0 = no limit
  int max_concurrency = 0;       // 0 = the run's
  std::string display_name;
  std::string digest;  // of what decides the answer, set by WithDigest
};

// Pins the digest: prompt::SystemDigest, the one a route serves under.
System WithDigest(System system);

// The display name, else "model + prompt".
std::string Title(const System& system);

}  // namespace crossover::evaluation
