#include "services/shadow_router/upstream/async_upstream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::router {
namespace {

// A stream may take longer than one answer; what is bounded is the wait for its next piece.
constexpr int kStreamFactor = 10;

bool NeverSent(const absl::Status& status) {
  const ErrorDetail detail = DetailOf(status);
  const auto sent = detail.metadata.find("sent");
  return absl::IsUnavailable(status) && sent != detail.metadata.end() && sent->second == "false";
}

http::ClientRequest AsyncRequestOf(const AsyncCall& call) {
  const Target& target = *call.target;
  http::ClientRequest request{.method = "POST",
                              .url = absl::StrCat(target.base_url, "/chat/completions"),
                              .headers = call.headers,
                              .body = call.body,
                              .timeout = target.timeout};
  request.headers.Set("Content-Type", "application/json");
  if (!target.api_key.empty())
    request.headers.Set("Authorization", absl::StrCat("Bearer ", target.api_key));
  if (call.stream) {
    request.timeout = target.timeout * kStreamFactor;
    request.read_timeout = target.timeout;
  }
  return request;
}

}  // namespace

CallStatus CallStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return CallStatus::kOk;
    case absl::StatusCode::kDeadlineExceeded:
      return CallStatus::kTimeout;
    case absl::StatusCode::kCancelled:
      return CallStatus::kCancelled;
    case absl::StatusCode::kResourceExhausted:
      return CallStatus::kTooLarge;
    default:
      return CallStatus::kConnectFailed;
  }
}

http::Task<Opened> AsyncUpstream::Open(AsyncCall call, http::CancelToken cancel) {
  const Target& target = *call.target;
  Opened opened{.began = clock_.SteadyNow()};
  if (!breakers_.For(target.name).Allow()) {
    opened.status = CallStatus::kConnectFailed;
    opened.error =
        absl::StrCat("upstream '", target.name, "' has failed repeatedly and is given a pause");
    co_return opened;
  }
  http::ClientRequest request = AsyncRequestOf(call);
  auto stream = co_await client_.Open(request, cancel);
  if (!stream.ok() && NeverSent(stream.status()) && !cancel.cancelled()) {
    stream = co_await client_.Open(std::move(request), cancel);
  }
  if (stream.ok()) {
    opened.stream = *std::move(stream);
    if (opened.stream->status() < 500) breakers_.For(target.name).Answering();
    co_return opened;
  }
  opened.status = CallStatusOf(stream.status());
  opened.error = absl::StrCat("upstream '", target.name, "': ", stream.status().message());
  Report(target, opened.status, 0);
  co_return opened;
}

void AsyncUpstream::Report(const Target& target, CallStatus status, int http_status) {
  CircuitBreaker& breaker = breakers_.For(target.name);
  switch (status) {
    case CallStatus::kCancelled:
      return breaker.Unknown();
    case CallStatus::kConnectFailed:
    case CallStatus::kTimeout:
    case CallStatus::kBroken:
      return breaker.Failure();
    case CallStatus::kHttpError:
      return http_status >= 500 ? breaker.Failure() : breaker.Success();
    default:
      return breaker.Success();
  }
}

http::Task<absl::StatusOr<std::string>> ReadAll(http::AsyncStream& stream, size_t max_bytes) {
  std::string body;
  while (true) {
    absl::StatusOr<std::string> piece = co_await stream.Read();
    if (!piece.ok()) co_return piece.status();
    if (piece->empty()) co_return body;
    if (body.size() + piece->size() > max_bytes) {
      stream.Cancel();
      co_return Error(absl::StatusCode::kResourceExhausted, "ANSWER_TOO_LARGE",
                      absl::StrCat("the answer is larger than ", max_bytes, " bytes"));
    }
    body.append(*piece);
  }
}

}  // namespace crossover::router
