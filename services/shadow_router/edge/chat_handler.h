// POST /v1/chat/completions: assign, call, answer, and afterwards book and mirror.
//
// A coroutine on the connection's thread. Nothing here waits for anything but the client and the
// model that answers it: books are a lock, the mirror's queue is a lock, storage is somebody else's
// thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/http/async.h"
#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/time/clock.h"
#include "services/shadow_router/domain/books.h"
#include "services/shadow_router/domain/key_meter.h"
#include "services/shadow_router/domain/mirror.h"
#include "services/shadow_router/domain/redactor.h"
#include "services/shadow_router/domain/routing_table.h"
#include "services/shadow_router/edge/door.h"
#include "services/shadow_router/edge/model_routes.h"
#include "services/shadow_router/edge/router_metrics.h"
#include "services/shadow_router/upstream/async_upstream.h"

namespace crossover::router {

struct ChatHandlerOptions {
  size_t max_answer_bytes = 64 << 20;  // Of a served answer that is not streamed.
  size_t max_tee_bytes =
      4 << 20;  // Of a served answer that is also compared; above, it is not mirrored (too_large).
  size_t max_event_bytes = 1 << 20;  // Of one event of a stream; above, the stream is broken off.
  std::string project = "projects/default";  // Of callers that belong to none.
};

// Thread-safe. Borrows everything.
class ChatHandler {
 public:
  struct Deps {
    Door& door;
    KeyMeter& meter;
    RoutingTableHolder& table;
    AsyncUpstream& upstream;
    Books& books;
    Mirror& mirror;
    const Redactor& redactor;
    RouterMetrics& metrics;
    UuidGenerator& ids;
    RandomSource& random;
    Clock& clock;
    ModelRoutes* models = nullptr;  // nullptr: only routes can be called
  };
  ChatHandler(ChatHandlerOptions options, Deps deps) : options_(std::move(options)), deps_(deps) {}

  http::Task<void> Handle(http::AsyncExchange& exchange);

 private:
  struct Call;     // One request on its way; chat_call.h.
  struct Attempt;  // What a variant said; chat_call.h.
  struct Relay;    // A stream that is passed on; chat_relay.cc.

  absl::StatusOr<std::shared_ptr<const ResolvedRoute>> FindRoute(const std::string& model,
                                                                 const Caller& caller) const;
  // The route that the request names, or one to the model that it names.
  http::Task<absl::Status> SetRoute(Call& call);
  // Reserves what the request will use, if the caller may use so much.
  absl::Status Reserve(Call& call);
  http::Task<void> Serve(http::AsyncExchange& exchange, Call& call);
  // Tries the variants in order until one answers with something that a fallback could not better.
  http::Task<Attempt> FirstAnswer(Call& call);
  http::Task<Attempt> TryVariant(Call& call, const ResolvedVariant& variant);
  http::Task<void> RelayBody(http::AsyncExchange& exchange, Call& call, Attempt& attempt);
  http::Task<void> RelayStream(http::AsyncExchange& exchange, Call& call, Attempt& attempt);
  http::Task<void> EndStream(http::AsyncExchange& exchange, Call& call, Attempt& attempt,
                             const Relay& relay);
  http::Task<void> RespondFailure(http::AsyncExchange& exchange, Call& call,
                                  const Attempt& attempt);
  void Conclude(Call& call);
  void BookArm(const Call& call);

  const ChatHandlerOptions options_;
  Deps deps_;
};

}  // namespace crossover::router
