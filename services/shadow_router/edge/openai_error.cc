#include "services/shadow_router/edge/openai_error.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::router {
namespace {

struct Kind {
  int status;
  const char* type;
};

Kind KindOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return {400, "invalid_request_error"};
    case absl::StatusCode::kUnauthenticated:
      return {401, "authentication_error"};
    case absl::StatusCode::kPermissionDenied:
      return {403, "permission_error"};
    case absl::StatusCode::kNotFound:
      return {404, "invalid_request_error"};
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return {409, "invalid_request_error"};
    case absl::StatusCode::kResourceExhausted:
      return {429, "rate_limit_error"};
    case absl::StatusCode::kUnavailable:
      return {503, "server_error"};
    case absl::StatusCode::kDeadlineExceeded:
      return {504, "server_error"};
    default:
      return {500, "server_error"};
  }
}

nlohmann::json OrNull(std::string_view text) {
  return text.empty() ? nlohmann::json() : nlohmann::json(std::string(text));
}

}  // namespace

std::string OpenAiErrorBody(std::string_view message, std::string_view type, std::string_view param,
                            std::string_view code) {
  const nlohmann::json body = {{"error",
                                {{"message", std::string(message)},
                                 {"type", std::string(type)},
                                 {"param", OrNull(param)},
                                 {"code", OrNull(code)}}}};
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

http::Response OpenAiError(const absl::Status& status) {
  const Kind kind = KindOf(status.code());
  const ErrorDetail detail = DetailOf(status);
  const std::string param = detail.violations.empty() ? "" : detail.violations.front().field;
  http::Response response =
      http::Response::Json(kind.status, OpenAiErrorBody(ToStd(status.message()), kind.type, param,
                                                        absl::AsciiStrToLower(detail.reason)));
  if (const auto wait = detail.metadata.find("retry_after_seconds"); wait != detail.metadata.end())
    response.headers.Set("retry-after", wait->second);
  // SDKs try again after any 429; a day's budget is not worth it.
  if (detail.reason == "BUDGET_EXCEEDED") response.headers.Set("x-should-retry", "false");
  if (kind.status == 401) response.headers.Set("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace crossover::router
