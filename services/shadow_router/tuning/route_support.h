// What every route of this room does before and after its own work. Private to the room.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/context/request_context.h"
#include "common/http/server.h"
#include "services/shadow_router/tuning/tuning_routes.h"

namespace crossover::router {

// The project whose resources a request is about.
struct RouteCall {
  const http::Request& request;
  std::string project;  // projects/{p}
};

// Lets the caller in and runs `answer` for its project, within `timeout`; JSON with 200, or the
// error as OpenAI writes it.
using JsonAnswer = std::function<absl::StatusOr<nlohmann::json>(const RouteCall& call)>;
void AddJsonRoute(http::Server& server, TuningRoutes& routes, std::string_view method,
                  std::string_view path, Access access, JsonAnswer answer,
                  absl::Duration timeout = absl::Seconds(60));

// The same for routes that read their body or write their answer themselves.
using StreamAnswer = std::function<absl::Status(const RouteCall& call, http::Exchange& exchange)>;
// `answered`: the answer has begun, so that an error can only cut it off.
void AddStreamRoute(http::Server& server, TuningRoutes& routes, std::string_view method,
                    std::string_view path, Access access, StreamAnswer answer,
                    http::RouteOptions route_options = {});

http::Response JsonResponse(const nlohmann::json& json);
http::Response ErrorResponse(const absl::Status& status);

// A path parameter; the route's pattern has it.
std::string PathPart(const RouteCall& call, const char* name);
// The query's `limit`: INVALID_ARGUMENT with param "limit" if it is no number from 1 to `most`.
absl::StatusOr<size_t> LimitOf(const RouteCall& call, size_t usual, size_t most);
std::string AfterOf(const RouteCall& call);
// A UUID made from the Idempotency-Key header; empty without one.
std::string RequestIdOf(const RouteCall& call);

// Seconds of `expires_after: {"anchor": "created_at", "seconds"}`; 0 if it is absent.
absl::StatusOr<int64_t> ExpirySeconds(const std::string& anchor, const std::string& seconds);

}  // namespace crossover::router
