// What went wrong with an answer, as the gates of a comparison count it. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "services/shadow_router/domain/answer.h"
#include "services/shadow_router/domain/routing_table.h"

namespace crossover::router {

enum class BadEvent { kError, kTimeout, kInvalidFormat };
std::string_view ToString(BadEvent event);  // As the gate is called: `error_rate` …

// Whether another variant might do better: trouble of the upstream, not of the request.
bool WorthAFallback(CallStatus status, int http_status);

// At most one. A refused request (4xx), an answer past the byte limit and a client that left say
// nothing about the variant.
std::vector<BadEvent> BadEventsOf(const ResolvedRoute& route, const Answer& answer);

}  // namespace crossover::router
