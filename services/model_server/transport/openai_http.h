// OpenAI-compatible HTTP: /v1/chat/completions, /v1/completions, /v1/embeddings and /v1/models.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "common/http/server.h"
#include "common/id/uuid7.h"
#include "common/time/clock.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {

// Of the body of a request; a larger one is 413 `body_too_large`.
inline constexpr size_t kMaxOpenAiBodyBytes = size_t{16} << 20;

struct OpenAiOptions {
  std::string api_key;  // "" = none is asked for.
  // That find models and read prompts; answers themselves cost no thread. More than
  // LoadedModelsOptions::max_waiting.
  int threads = 8;
  // Requests that wait for one of these threads; one more is 429.
  int queue = 1024;
};

// Adds its routes to a server that has not started; must outlive the server. Borrows everything. A
// client that goes away frees its slot at once, before the first token too.
class OpenAiHttp {
 public:
  OpenAiHttp(OpenAiOptions options, Inference& inference, UuidGenerator& ids, Clock& clock,
             http::Server& server);
  ~OpenAiHttp();
  OpenAiHttp(const OpenAiHttp&) = delete;
  OpenAiHttp& operator=(const OpenAiHttp&) = delete;

  // Refuses new requests with 503, lets answers under way finish for `grace`, then ends them with
  // an error. Blocks for `grace` and at most 5 s more; call it before the server stops.
  void Drain(absl::Duration grace);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::inference
