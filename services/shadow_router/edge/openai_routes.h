// The OpenAI contract on an HTTP server: chat completions, models, feedback, what was stored.
#pragma once

#include <string>

#include "common/http/server.h"
#include "common/id/uuid7.h"
#include "common/time/clock.h"
#include "services/shadow_router/domain/flusher.h"
#include "services/shadow_router/domain/local_models.h"
#include "services/shadow_router/domain/routing_table.h"
#include "services/shadow_router/domain/store.h"
#include "services/shadow_router/edge/chat_handler.h"
#include "services/shadow_router/edge/door.h"

namespace crossover::router {

struct OpenAiRoutesOptions {
  std::string project = "projects/default";  // Of callers that belong to none.
  size_t max_body_bytes = 16 << 20;          // Of a chat request; above: 413.
};

struct OpenAiRoutesDeps {
  Door& door;
  ChatHandler& chat;
  RoutingTableHolder& table;
  RouterStore& store;
  Flusher& flusher;
  UuidGenerator& ids;
  Clock& clock;
  LocalModels* models = nullptr;  // nullptr: only routes are models
};

// Adds the routes. Before Server::Start. Everything in `deps` outlives the server.
void AddOpenAiRoutes(http::Server& server, const OpenAiRoutesOptions& options,
                     const OpenAiRoutesDeps& deps);

// POST /v1/feedback's body → feedback: {"inference_id"|"id", "name", "value": bool|number|string,
// "author"?}. INVALID_ARGUMENT `FEEDBACK_INVALID` with the field that is wrong.
absl::StatusOr<Feedback> ParseFeedback(std::string_view body);

}  // namespace crossover::router
