#include "services/shadow_router/domain/bad_events.h"

namespace crossover::router {

std::string_view ToString(BadEvent event) {
  switch (event) {
    case BadEvent::kError:
      return "error_rate";
    case BadEvent::kTimeout:
      return "timeout_rate";
    case BadEvent::kInvalidFormat:
      return "format_invalid_rate";
  }
  return "unknown";
}

bool WorthAFallback(CallStatus status, int http_status) {
  if (status == CallStatus::kConnectFailed || status == CallStatus::kTimeout ||
      status == CallStatus::kBroken)
    return true;
  return status == CallStatus::kHttpError &&
         (http_status >= 500 || http_status == 429 || http_status == 401 || http_status == 403 ||
          http_status == 404);
}

std::vector<BadEvent> BadEventsOf(const ResolvedRoute& route, const Answer& answer) {
  if (answer.status == CallStatus::kTimeout) return {BadEvent::kTimeout};
  if (WorthAFallback(answer.status, answer.http_status)) return {BadEvent::kError};
  if (answer.status == CallStatus::kOk && route.validator &&
      !route.validator->Check(answer.content).ok())
    return {BadEvent::kInvalidFormat};
  return {};
}

}  // namespace crossover::router
