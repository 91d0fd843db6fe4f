#include "services/shadow_router/tuning/route_support.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/id/uuid7.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "services/shadow_router/edge/openai_error.h"

namespace crossover::router {
namespace {

// Runs `work` as the caller, for its project.
absl::Status AsCaller(TuningRoutes& routes, const http::Request& request, Access access,
                      absl::Duration timeout,
                      const std::function<absl::Status(const RouteCall& call)>& work) {
  const absl::StatusOr<Caller> caller = routes.door.Admit(request, access);
  if (!caller.ok()) return caller.status();
  const RouteCall call{request, caller->project.empty() ? routes.options.project : caller->project};
  RequestContext context;
  context.deadline = routes.backend.clock.SteadyNow() + timeout;
  context.traceparent = std::string(request.headers.Get("traceparent").value_or(""));
  context.project = call.project;
  context.caller = caller->name;
  const ScopedContext scope(std::move(context));
  return work(call);
}

}  // namespace

http::Response JsonResponse(const nlohmann::json& json) {
  return http::Response::Json(200,
                              json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

http::Response ErrorResponse(const absl::Status& status) {
  http::Response response = OpenAiError(status);
  if (HasReason(status, "FILE_TOO_LARGE")) response.status = 413;
  return response;
}

void AddJsonRoute(http::Server& server, TuningRoutes& routes, std::string_view method,
                  std::string_view path, Access access, JsonAnswer answer, absl::Duration timeout) {
  server.Handle(
      method, path,
      [&routes, access, timeout, answer = std::move(answer)](const http::Request& request) {
        http::Response response;
        const absl::Status status =
            AsCaller(routes, request, access, timeout, [&](const RouteCall& call) -> absl::Status {
              const absl::StatusOr<nlohmann::json> json = answer(call);
              if (json.ok()) response = JsonResponse(*json);
              return json.status();
            });
        return status.ok() ? response : ErrorResponse(status);
      });
}

void AddStreamRoute(http::Server& server, TuningRoutes& routes, std::string_view method,
                    std::string_view path, Access access, StreamAnswer answer,
                    http::RouteOptions route_options) {
  server.HandleStream(
      method, path,
      [&routes, access, answer = std::move(answer)](http::Exchange& exchange) {
        const absl::Status status =
            AsCaller(routes, exchange.request(), access, routes.options.create_timeout,
                     [&](const RouteCall& call) { return answer(call, exchange); });
        // If the answer had begun, this fails and the connection is cut.
        if (!status.ok()) (void)exchange.Respond(ErrorResponse(status));
      },
      route_options);
}

std::string PathPart(const RouteCall& call, const char* name) {
  const auto found = call.request.params.find(name);
  return found == call.request.params.end() ? "" : found->second;
}

absl::StatusOr<size_t> LimitOf(const RouteCall& call, size_t usual, size_t most) {
  const std::optional<std::string> text = call.request.Query("limit");
  if (!text.has_value()) return usual;
  size_t limit = 0;
  if (absl::SimpleAtoi(*text, &limit) && limit >= 1 && limit <= most) return limit;
  const std::string wanted = absl::StrCat("must be a whole number from 1 to ", most);
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat("'limit' ", wanted),
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = {{"limit", wanted}}});
}

std::string AfterOf(const RouteCall& call) { return call.request.Query("after").value_or(""); }

std::string RequestIdOf(const RouteCall& call) {
  const auto key = call.request.headers.Get("idempotency-key");
  if (!key.has_value() || key->empty()) return "";
  const Sha256Bytes hash =
      Sha256Of(absl::StrCat(call.request.path, "\n", call.project, "\n", ToAbsl(*key)));
  Uuid uuid;  // of version 8, RFC 9562 §5.8
  std::copy_n(hash.begin(), uuid.bytes.size(), uuid.bytes.begin());
  uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0f) | 0x80);
  uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid.ToUuid();
}

absl::StatusOr<int64_t> ExpirySeconds(const std::string& anchor, const std::string& seconds) {
  if (anchor.empty() && seconds.empty()) return 0;
  int64_t value = 0;
  if (anchor == "created_at" && absl::SimpleAtoi(seconds, &value) && value >= 3600 &&
      value <= 2'592'000) {
    return value;
  }
  const std::string wanted = "must have the anchor 'created_at' and 3600 to 2592000 seconds";
  return Error(
      absl::StatusCode::kInvalidArgument, absl::StrCat("'expires_after' ", wanted),
      {.reason = "FIELD_INVALID", .metadata = {}, .violations = {{"expires_after", wanted}}});
}

}  // namespace crossover::router
