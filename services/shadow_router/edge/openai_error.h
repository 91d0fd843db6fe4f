// The one mapper from a status to the error body that OpenAI's clients know.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/http/message.h"

namespace crossover::router {

// {"error":{"message","type","param","code"}}, all four keys.
std::string OpenAiErrorBody(std::string_view message, std::string_view type, std::string_view param,
                            std::string_view code);

// INVALID_ARGUMENT 400, UNAUTHENTICATED 401, PERMISSION_DENIED 403, NOT_FOUND 404, ALREADY_EXISTS
// and ABORTED 409, RESOURCE_EXHAUSTED 429, DEADLINE_EXCEEDED 504, UNAVAILABLE 503, else 500. `code`
// is the reason in lower case, `param` the first field violation's field. `retry-after` from the
// status' metadata `retry_after_seconds`.
http::Response OpenAiError(const absl::Status& status);

}  // namespace crossover::router
