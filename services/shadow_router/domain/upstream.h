// Where answers come from: the port behind which HTTP lives, and what is known about each target.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "services/shadow_router/domain/answer.h"
#include "services/shadow_router/domain/system.h"

namespace crossover::router {

// One place that speaks the OpenAI contract.
struct Target {
  std::string name;      // For metrics and breakers: the upstream's slug, or "model-server".
  std::string base_url;  // Without the trailing slash: `http://host:port/v1`.
  std::string api_key;   // Secret; empty: no Authorization header. Never logged.
  absl::Duration timeout = absl::Seconds(60);
  Prices prices;
  bool is_ours =
      false;  // The deployment's model server: it is told who asks, to serve all in turn.
  bool leaves_house =
      false;  // Another data processor than ourselves: mirroring needs the task's consent.
};

struct UpstreamCall {
  Target target;
  std::string body;         // A chat completion request, not streamed.
  std::string traceparent;  // Of this leg; empty: none.
  std::string request_id;
  std::string caller;  // Told to our own model server alone.
  size_t max_answer_bytes = 4 << 20;
};

// Thread-safe. The blocking face of HTTP, for the mirror's own threads; the answer's path has its
// own (upstream/async_upstream.h).
class Upstream {
 public:
  virtual ~Upstream() = default;

  // Blocks until the answer is whole or the target's timeout has passed. How it went is in the
  // answer's status.
  virtual Answer Call(const UpstreamCall& call) = 0;

  // Ends calls that are under way (they return kCancelled) and refuses new ones.
  virtual void Shutdown() = 0;
};

}  // namespace crossover::router
