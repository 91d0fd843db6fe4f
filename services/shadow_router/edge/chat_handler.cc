#include "services/shadow_router/edge/chat_handler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/hash.h"
#include "services/shadow_router/edge/chat_call.h"
#include "services/shadow_router/edge/openai_error.h"
#include "services/shadow_router/edge/passed_headers.h"
#include "services/shadow_router/edge/recorder.h"

namespace crossover::router {
namespace {

constexpr size_t kMaxErrorBytes = 1 << 20;
constexpr size_t kMaxRequestIdBytes = 128;

bool IsPrintable(std::string_view text) {
  for (unsigned char c : text) {
    if (c < 0x21 || c > 0x7e) return false;
  }
  return true;
}

// 32 hex digits of a valid traceparent, or empty. https://www.w3.org/TR/trace-context/
std::string TraceIdOf(std::string_view traceparent) {
  if (traceparent.size() < 55 || traceparent[2] != '-' || traceparent[35] != '-') return "";
  const std::string_view id = traceparent.substr(3, 32);
  const bool hex = id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  const bool zero = id.find_first_not_of('0') == std::string_view::npos;
  return hex && !zero ? std::string(id) : "";
}

bool IsSuccess(int status) { return status >= 200 && status < 300; }

// About four bytes of English a token. Only for a reservation; what was used settles it.
constexpr int64_t kBytesPerToken = 4;
constexpr int64_t kUsualAnswerTokens = 256;

// What a request will use at most if it names a limit, and about if it does not.
KeyMeter::Amount Expected(const ChatRequest& request, const Prices& prices) {
  Usage usage{.input = static_cast<int64_t>(request.body.size()) / kBytesPerToken,
              .output = kUsualAnswerTokens};
  for (const char* name : {"max_completion_tokens", "max_tokens"}) {
    int64_t limit = 0;
    if (absl::SimpleAtoi(ToAbsl(request.Raw(name)), &limit) && limit > 0) {
      usage.output = limit;
      break;
    }
  }
  return {usage.input + usage.output, CostUsd(prices, usage)};
}

// Usage comes with the last chunk: of an answer that nobody waited for, or whose upstream doesn't
// say, what was reserved counts. Hanging up must not be free.
KeyMeter::Amount Used(const Usage& usage, double usd, const KeyMeter::Amount& reserved) {
  const int64_t tokens = usage.input + usage.output;
  return tokens == 0 ? reserved : KeyMeter::Amount{tokens, usd};
}

}  // namespace

absl::Status ChatHandler::Reserve(Call& call) {
  const ResolvedVariant* primary = call.route->Find(call.route->route.primary);
  const KeyMeter::Amount expected =
      Expected(call.request, primary == nullptr ? Prices{} : primary->target.prices);
  RETURN_IF_ERROR(deps_.meter.Reserve(call.caller, expected));
  call.reserved = expected;
  return absl::OkStatus();
}

http::Task<void> ChatHandler::Handle(http::AsyncExchange& exchange) {
  http::Request& incoming = exchange.request();
  Call call{.books = deps_.books,
            .meter = deps_.meter,
            .id = deps_.ids.NextId(),
            .started = deps_.clock.SteadyNow(),
            .time = deps_.clock.Now()};
  const auto wanted = incoming.headers.Get("x-request-id");
  call.request_id = wanted && wanted->size() <= kMaxRequestIdBytes && IsPrintable(*wanted)
                        ? std::string(*wanted)
                        : call.id;
  call.trace_id = TraceIdOf(incoming.headers.Get("traceparent").value_or(""));
  if (call.trace_id.empty()) call.trace_id = deps_.random.Hex(16);

  absl::StatusOr<Caller> caller = co_await deps_.door.AdmitAsync(incoming, Access::kCall);
  absl::Status refused = caller.status();
  if (caller.ok()) {
    call.caller = *std::move(caller);
    absl::StatusOr<ChatRequest> request = ParseChatRequest(std::move(incoming.body));
    refused = request.status();
    if (request.ok()) {
      call.request = *std::move(request);
      refused = co_await SetRoute(call);
    }
    if (refused.ok()) refused = Reserve(call);
  }
  if (!refused.ok()) {
    http::Response response = OpenAiError(refused);
    response.headers.Set("x-request-id", call.request_id);
    deps_.metrics.Request(call.route == nullptr ? "unknown" : LastSegment(call.route->route.name),
                          "", response.status);
    (void)co_await exchange.Respond(
        std::move(response));  // A client that has gone needs no answer.
    co_return;
  }
  if (const auto conversation = incoming.headers.Get("x-conversation-id");
      conversation && call.request.conversation.empty()) {
    call.request.conversation = std::string(*conversation);
  }
  if (const auto label = incoming.headers.Get("x-crossover-label"); label && !call.request.label) {
    call.request.label = std::string(*label);
  }
  call.key = {
      .user = call.request.user, .conversation = call.request.conversation, .request_id = call.id};
  exchange.OnDisconnect([cancel = call.cancel]() mutable { cancel.Cancel(); });
  co_await Serve(exchange, call);
  Conclude(call);
}

http::Task<void> ChatHandler::Serve(http::AsyncExchange& exchange, Call& call) {
  const ResolvedRoute& route = *call.route;
  const TrafficPlan& plan = route.plan;
  call.assignment = Assign(route.route, plan, call.key);
  if (call.assignment.sampled) {
    call.booking = deps_.books.Sampled(plan.experiment, plan.comparison);
  } else if (call.Compared()) {
    deps_.books.Eligible(plan.experiment, plan.comparison);
  }
  const auto add = [&](const std::string& name) {
    const ResolvedVariant* variant = route.Find(name);
    if (variant != nullptr &&
        std::find(call.order.begin(), call.order.end(), variant) == call.order.end()) {
      call.order.push_back(variant);
    }
  };
  add(call.assignment.variant);
  if (call.assignment.canary) add(plan.reference);
  for (const std::string& name : route.route.fallbacks) add(name);

  Attempt attempt = co_await FirstAnswer(call);
  if (attempt.stream == nullptr) {
    co_await RespondFailure(exchange, call, attempt);
    co_return;
  }
  call.served = attempt.variant;
  if (IsStream(attempt.headers)) {
    co_await RelayStream(exchange, call, attempt);
  } else {
    co_await RelayBody(exchange, call, attempt);
  }
  call.answer.latency = call.upstream_time;
  deps_.upstream.Report(attempt.variant->target, call.answer.status, call.answer.http_status);
  deps_.metrics.UpstreamCall(attempt.variant->target.name, call.upstream_time);
}

http::Task<ChatHandler::Attempt> ChatHandler::FirstAnswer(Call& call) {
  Attempt attempt;
  for (size_t i = 0; i < call.order.size(); ++i) {
    attempt = co_await TryVariant(call, *call.order[i]);
    call.asked = call.order[i];
    if (i == 0) call.first = attempt.Outcome();
    if (attempt.stream != nullptr || !WorthAFallback(attempt.status, attempt.http_status)) break;
    call.failures.push_back(absl::StrCat("variant '", call.order[i]->name, "': ", attempt.error));
  }
  co_return attempt;
}

http::Task<ChatHandler::Attempt> ChatHandler::TryVariant(Call& call,
                                                         const ResolvedVariant& variant) {
  Attempt attempt{.variant = &variant};
  absl::StatusOr<std::string> body = BodyFor(variant, call.request, Purpose::kServe);
  if (!body.ok()) {
    attempt.status = CallStatus::kHttpError;
    attempt.http_status = 400;
    attempt.error = std::string(ToStd(body.status().message()));
    attempt.error_body = OpenAiErrorBody(attempt.error, "invalid_request_error", "messages",
                                         "prompt_not_renderable");
    co_return attempt;
  }
  AsyncCall upstream_call{
      .target = &variant.target, .body = *std::move(body), .stream = call.request.stream};
  upstream_call.headers.Set("Accept",
                            call.request.stream ? "text/event-stream" : "application/json");
  upstream_call.headers.Set("x-request-id", call.request_id);
  upstream_call.headers.Set("traceparent", absl::StrCat("00-", call.trace_id, "-",
                                                        ShortHash(call.id + variant.name), "-01"));
  if (variant.target.is_ours) {
    upstream_call.headers.Set("x-crossover-caller", WhoAsks(call.caller));
  }
  Opened opened = co_await deps_.upstream.Open(std::move(upstream_call), call.cancel);
  attempt.began = opened.began;
  if (opened.stream == nullptr) {
    attempt.status = opened.status;
    attempt.error = std::move(opened.error);
    co_return attempt;
  }
  attempt.http_status = opened.stream->status();
  attempt.headers = opened.stream->headers();
  call.upstream_time = deps_.clock.SteadyNow() - opened.began;
  call.answer.ttft = call.upstream_time;
  if (IsSuccess(attempt.http_status)) {
    attempt.stream = std::move(opened.stream);
    co_return attempt;
  }
  attempt.status = CallStatus::kHttpError;
  attempt.error =
      absl::StrCat("upstream '", variant.target.name, "' answered HTTP ", attempt.http_status);
  if (auto text = co_await ReadAll(*opened.stream, kMaxErrorBytes); text.ok())
    attempt.error_body = *std::move(text);
  deps_.upstream.Report(variant.target, attempt.status, attempt.http_status);
  co_return attempt;
}

void ChatHandler::Conclude(Call& call) {
  const ResolvedRoute& route = *call.route;
  const std::string slug = LastSegment(route.route.name);
  const std::string variant = call.served != nullptr ? call.served->name : call.assignment.variant;
  constexpr int kClientClosedRequest = 499;
  const bool cancelled = call.answer.status == CallStatus::kCancelled;
  deps_.metrics.Request(slug, variant, cancelled ? kClientClosedRequest : call.code);
  if (!cancelled) {
    deps_.metrics.Overhead(deps_.clock.SteadyNow() - call.started - call.upstream_time -
                           call.client_time);
  }
  double cost = 0;
  if (call.served != nullptr) {
    cost = CostUsd(call.served->target.prices, call.answer.usage);
    deps_.metrics.Cost(slug, variant, cost);
  }
  if (call.reserved) {
    const KeyMeter::Amount reserved = *std::exchange(call.reserved, std::nullopt);
    deps_.meter.Settle(
        call.caller, reserved,
        call.served != nullptr ? Used(call.answer.usage, cost, reserved) : KeyMeter::Amount{});
  }
  BookArm(call);
  if (call.request.store && call.served != nullptr && call.answer.status == CallStatus::kOk) {
    auto recording = MakeRecording(route, variant, call.request, call.answer, call.id, call.time,
                                   deps_.redactor);
    if (recording) deps_.books.Record(*std::move(recording));
  }
  if (!call.booking) return;
  const bool from_fallback = call.asked != nullptr && call.asked->name != call.assignment.variant;
  deps_.mirror.Offer(
      {.key = *std::exchange(call.booking, std::nullopt),
       .route = call.route,
       .assignment = call.assignment,
       .request = std::move(call.request),
       .served = std::move(call.answer),
       .served_variant = call.asked != nullptr ? call.asked->name : call.assignment.variant,
       .from_fallback = from_fallback,
       .failed_first = from_fallback ? call.first : std::nullopt,
       .request_id = call.id,
       .trace_id = call.trace_id,
       .cluster = ShortHash(ClusterKey(call.key)),
       .caller = WhoAsks(call.caller),
       .time = call.time});
}

// What the canary's gates compare: how the assigned variant fared, whoever answered in the end.
void ChatHandler::BookArm(const Call& call) {
  const ResolvedRoute& route = *call.route;
  const TrafficPlan& plan = route.plan;
  if (!call.Compared() || plan.canary_weight == 0 || call.answer.status == CallStatus::kCancelled)
    return;
  const bool from_fallback = call.asked != nullptr && call.asked->name != call.assignment.variant;
  deps_.books.Served({plan.experiment, plan.comparison, plan.canary_weight}, call.assignment.canary,
                     BadEventsOf(route, from_fallback ? *call.first : call.answer));
}

}  // namespace crossover::router
