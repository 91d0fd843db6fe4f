// What a client sees of the headers that an upstream answered with.
#pragma once

#include "common/http/message.h"

namespace crossover::router {

http::Headers PassedHeaders(const http::Headers& from);

// True for an answer that is a stream of events.
bool IsStream(const http::Headers& headers);

}  // namespace crossover::router
