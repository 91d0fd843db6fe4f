// What a variant of a route is made of: the router's own form of type.v1.System.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"

namespace crossover::router {

// Which model answers. `kBaseModel` and `kAdapter` live in our model server; `kUpstream` anywhere
// else.
struct ModelRef {
  enum class Kind { kBaseModel, kAdapter, kUpstream };
  Kind kind = Kind::kUpstream;
  std::string
      model;  // Base model slug or digest; adapter digest or alias; the upstream's model id.
  std::string
      digest;  // What `model` stands for, where that is known; only for models of our server.
  std::string upstream;  // `projects/{p}/upstreams/{u}`; only for kUpstream.
  std::string
      revision;  // What the upstream's model was when the System was measured; may be empty.

  // What goes into the request's `model`.
  const std::string& WireName() const { return digest.empty() ? model : digest; }
  bool operator==(const ModelRef&) const = default;
};

struct System {
  std::string prompt_version;  // Resource name of a PromptVersion; empty: the client's messages go
                               // as they came.
  ModelRef model;
  // OpenAI parameter (`temperature`, `max_tokens`, `response_format` …) to JSON text. Filled in
  // where the client's request leaves the parameter unset, before the prompt version's own
  // defaults.
  std::map<std::string, std::string> sampling;
  absl::Duration timeout =
      absl::ZeroDuration();  // Zero: the upstream's own, else the router's default.
  std::string display_name;

  bool operator==(const System&) const = default;
};

// prompt::SystemDigest of it: equal to the digest that evaluation measured it under. Part of a
// pair's provenance.
std::string SystemDigest(const System& system);

// Tokens of one answer, as the upstream counted them.
struct Usage {
  int64_t input = 0;
  int64_t cached_input = 0;
  int64_t output = 0;

  bool operator==(const Usage&) const = default;
};

// USD per million tokens.
struct Prices {
  double input = 0;
  double cached_input = 0;
  double output = 0;
};

double CostUsd(const Prices& prices, const Usage& usage);

}  // namespace crossover::router
