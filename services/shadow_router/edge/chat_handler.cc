#include "services/shadow_router/edge/chat_handler.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/hash.h"
#include "services/shadow_router/edge/openai_error.h"
#include "services/shadow_router/edge/recorder.h"

namespace crossover::router {
namespace {

constexpr size_t kMaxErrorBytes = 1 << 20;
constexpr size_t kMaxRequestIdBytes = 128;

// Of an upstream's answer, what the client may see.
constexpr std::array<std::string_view, 5> kPassed = {
    "openai-processing-ms", "retry-after", "retry-after-ms", "x-should-retry", "openai-version"};
constexpr std::string_view kRateLimitPrefix = "x-ratelimit-";

bool StartsWithoutCase(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  for (size_t i = 0; i < prefix.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(text[i])) != prefix[i]) return false;
  }
  return true;
}

// That there is no such route, with the models that answer by their own names.
absl::Status WithModels(const absl::Status& no_route, const std::string& models) {
  if (models.empty()) return no_route;
  ErrorDetail detail = DetailOf(no_route);
  detail.metadata["models"] = models;
  return Error(no_route.code(),
               absl::StrCat(no_route.message(), "; models by their own names: ", models),
               std::move(detail));
}

http::Headers PassedHeaders(const http::Headers& from) {
  http::Headers to;
  for (std::string_view name : kPassed) {
    if (const auto value = from.Get(name)) to.Set(name, std::string(*value));
  }
  for (const auto& [name, value] : from) {
    if (StartsWithoutCase(name, kRateLimitPrefix)) to.Add(name, value);
  }
  return to;
}

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

bool IsStream(const http::Headers& headers) {
  const auto type = headers.Get("content-type");
  return type && StartsWithoutCase(*type, "text/event-stream");
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

std::string WhoAsks(const Caller& caller) { return absl::StrCat(caller.project, "/", caller.name); }

}  // namespace

struct ChatHandler::Attempt {
  const ResolvedVariant* variant = nullptr;
  CallStatus status = CallStatus::kOk;
  int http_status = 0;
  std::string error;
  std::string error_body;  // Of an HTTP error, as the upstream sent it.
  http::Headers headers;
  std::unique_ptr<http::AsyncStream> stream;
  absl::Duration began = absl::ZeroDuration();

  Answer Outcome() const { return {.status = status, .http_status = http_status, .error = error}; }
};

struct ChatHandler::Call {
  // A server that stops may end the coroutine anywhere: what was booked as in flight is booked out
  // all the same.
  ~Call() {
    if (booking) books.Dropped(*booking, DropReason::kCancelled);
    if (reserved)
      meter.Settle(caller, *reserved, served != nullptr ? *reserved : KeyMeter::Amount{});
  }

  Books& books;
  KeyMeter& meter;
  Caller caller;
  std::optional<KeyMeter::Amount> reserved;  // Set until what was used is known.
  std::string id;                            // Inference id.
  std::string request_id;                    // What the client called it, else the id.
  std::string trace_id;
  absl::Duration started;
  absl::Time time;
  std::shared_ptr<const ResolvedRoute> route;
  ChatRequest request;
  RequestKey key;
  Assignment assignment;
  std::optional<LedgerKey>
      booking;  // Set while a sampled request has not been handed to the mirror.
  std::vector<const ResolvedVariant*> order;
  std::vector<std::string> failures;  // "variant 'x': why" of the attempts that did not answer.
  http::CancelToken cancel;
  std::optional<Answer> first;              // How the assigned variant fared.
  const ResolvedVariant* asked = nullptr;   // Last.
  const ResolvedVariant* served = nullptr;  // nullptr: nobody answered.
  int code = 0;
  Answer answer;
  absl::Duration upstream_time = absl::ZeroDuration();  // Waiting for the upstream that answered.
  absl::Duration client_time = absl::ZeroDuration();    // Waiting for the client to take it.

  bool Compared() const { return !route->plan.experiment.empty(); }
};

// A stream on its way through: whole events only.
struct ChatHandler::Relay {
  absl::Duration ttft;
  bool strip_usage = false;
  SseParser parser;
  Usage usage;
  bool done = false;       // `[DONE]` was read,
  bool done_sent = false;  // and passed on.
  bool gone = false;       // The client.
  absl::Status broken;

  // The events that are complete now, as the client gets them.
  std::string Take(std::string_view piece) {
    std::string out;
    parser.Feed(piece, [&](std::string_view data, std::string_view raw) {
      if (data == "[DONE]") done = true;
      const std::optional<ChunkUsage> found = UsageOfChunk(data);
      if (found) usage = found->usage;
      if (!(found && found->alone && strip_usage)) out.append(raw);
    });
    return out;
  }
};

absl::StatusOr<std::shared_ptr<const ResolvedRoute>> ChatHandler::FindRoute(
    const std::string& model, const Caller& caller) const {
  const auto table = deps_.table.Get();
  const std::string& project = caller.project.empty() ? options_.project : caller.project;
  std::shared_ptr<const ResolvedRoute> route = table->Find(model, project);
  if (route == nullptr) {
    std::vector<std::string> names = table->Names(project);
    std::erase_if(names, [&](const std::string& name) {
      return !MayUseRoute(caller, absl::StrCat(project, "/routes/", name));
    });
    const std::string known = names.empty()
                                  ? "there are none yet"
                                  : absl::StrCat("there are: ", absl::StrJoin(names, ", "));
    return Error(absl::StatusCode::kNotFound,
                 absl::StrCat("there is no route '", model, "'; ", known),
                 {.reason = "ROUTE_NOT_FOUND",
                  .metadata = {{"known", absl::StrJoin(names, ",")}},
                  .violations = {{"model", "must be the name of a route"}}});
  }
  if (!MayUseRoute(caller, route->route.name)) {
    return Error(absl::StatusCode::kPermissionDenied,
                 absl::StrCat(caller.name, " may not use route '", model, "'"),
                 {.reason = "RESOURCE_FORBIDDEN",
                  .metadata = {},
                  .violations = {{"model", "is not among the key's routes"}}});
  }
  if (!route->status.ok()) {
    return Error(absl::StatusCode::kUnavailable, "UPSTREAMS_FAILED",
                 absl::StrCat("route '", model, "' cannot be served: ", route->status.message()));
  }
  return route;
}

http::Task<absl::Status> ChatHandler::SetRoute(Call& call) {
  absl::StatusOr<std::shared_ptr<const ResolvedRoute>> route =
      FindRoute(call.request.model, call.caller);
  if (deps_.models != nullptr && HasReason(route.status(), "ROUTE_NOT_FOUND")) {
    const std::string& project =
        call.caller.project.empty() ? options_.project : call.caller.project;
    absl::StatusOr<std::shared_ptr<const ResolvedRoute>> model =
        co_await deps_.models->RouteTo(call.caller, project, call.request.model);
    // Whoever meant a route is told which there are, and of the models too.
    if (HasReason(model.status(), "MODEL_NOT_FOUND")) {
      route = WithModels(route.status(), DetailOf(model.status()).metadata["known"]);
    } else {
      route = std::move(model);
    }
  }
  if (!route.ok()) co_return route.status();
  call.route = *std::move(route);
  co_return absl::OkStatus();
}

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

http::Task<void> ChatHandler::RelayBody(http::AsyncExchange& exchange, Call& call,
                                        Attempt& attempt) {
  const absl::Duration head = deps_.clock.SteadyNow();
  absl::StatusOr<std::string> body = co_await ReadAll(*attempt.stream, options_.max_answer_bytes);
  call.upstream_time += deps_.clock.SteadyNow() - head;
  if (!body.ok()) {
    // Nothing has been sent: the client still gets a proper error.
    call.answer.status = CallStatusOf(body.status());
    if (call.answer.status == CallStatus::kConnectFailed) call.answer.status = CallStatus::kBroken;
    attempt.status = call.answer.status;
    attempt.error =
        absl::StrCat("upstream '", attempt.variant->target.name, "': ", body.status().message());
    co_await RespondFailure(exchange, call, attempt);
    co_return;
  }
  const absl::Duration ttft = call.answer.ttft;
  if (absl::StatusOr<Answer> answer = ParseCompletion(*body); answer.ok()) {
    call.answer = *std::move(answer);
    if (call.Compared() && body->size() > options_.max_tee_bytes)
      call.answer.status = CallStatus::kTooLarge;
  } else {
    call.answer.status = CallStatus::kBroken;
    call.answer.error = std::string(ToStd(answer.status().message()));
  }
  call.answer.ttft = ttft;
  call.answer.http_status = attempt.http_status;
  http::Response response{.status = attempt.http_status,
                          .headers = PassedHeaders(attempt.headers),
                          .body = *std::move(body)};
  response.headers.Set(
      "Content-Type",
      std::string(attempt.headers.Get("content-type").value_or("application/json")));
  response.headers.Set("x-request-id", call.request_id);
  response.headers.Set("x-crossover-inference-id", call.id);
  call.code = attempt.http_status;
  const absl::Duration before = deps_.clock.SteadyNow();
  if (!(co_await exchange.Respond(std::move(response))).ok())
    call.answer.status = CallStatus::kCancelled;
  call.client_time = deps_.clock.SteadyNow() - before;
}

http::Task<void> ChatHandler::RelayStream(http::AsyncExchange& exchange, Call& call,
                                          Attempt& attempt) {
  http::Headers headers = PassedHeaders(attempt.headers);
  headers.Set("Content-Type", "text/event-stream; charset=utf-8");
  headers.Set("Cache-Control", "no-cache");
  headers.Set("x-request-id", call.request_id);
  headers.Set("x-crossover-inference-id", call.id);
  call.code = attempt.http_status;
  Relay relay;
  relay.ttft = call.answer.ttft;
  relay.strip_usage = call.request.stream && !call.request.include_usage;
  const bool assemble = call.Compared() || call.request.store;
  AnswerAssembler assembler(options_.max_tee_bytes);
  absl::Duration before = deps_.clock.SteadyNow();
  relay.gone = !(co_await exchange.Start(attempt.http_status, std::move(headers))).ok();
  call.client_time += deps_.clock.SteadyNow() - before;
  bool first = true;
  while (!relay.gone) {
    before = deps_.clock.SteadyNow();
    absl::StatusOr<std::string> piece = co_await attempt.stream->Read();
    call.upstream_time += deps_.clock.SteadyNow() - before;
    if (std::exchange(first, false)) relay.ttft = call.upstream_time;
    if (!piece.ok()) relay.broken = piece.status();
    if (!piece.ok() || piece->empty()) break;
    if (assemble) assembler.Feed(*piece);
    std::string out = relay.Take(*piece);
    if (relay.parser.rest().size() > options_.max_event_bytes) {
      attempt.stream->Cancel();
      relay.broken = absl::ResourceExhaustedError(
          absl::StrCat("one event is larger than ", options_.max_event_bytes, " bytes"));
      break;
    }
    if (out.empty()) continue;
    before = deps_.clock.SteadyNow();
    relay.gone = !(co_await exchange.Write(std::move(out))).ok();
    call.client_time += deps_.clock.SteadyNow() - before;
    relay.done_sent = relay.done && !relay.gone;
  }
  if (assemble) {
    call.answer = assembler.Finish();
  } else {
    call.answer.usage = relay.usage;
  }
  call.answer.streamed = true;
  call.answer.http_status = attempt.http_status;
  call.answer.ttft = relay.ttft;
  co_await EndStream(exchange, call, attempt, relay);
}

http::Task<void> ChatHandler::EndStream(http::AsyncExchange& exchange, Call& call, Attempt& attempt,
                                        const Relay& relay) {
  // Whoever has the whole answer may leave, and whoever gave it may cut the line.
  if (!relay.done_sent && (relay.gone || call.cancel.cancelled())) {
    attempt.stream->Cancel();
    call.answer.status = CallStatus::kCancelled;
    co_return;
  }
  if (!relay.done_sent && !relay.broken.ok()) {
    call.answer.status = CallStatusOf(relay.broken) == CallStatus::kTimeout ? CallStatus::kTimeout
                                                                            : CallStatus::kBroken;
    // Status and model can't change any more: the error is an event, then the stream ends. Only
    // whole events were passed on, so that it is one of its own.
    const std::string what =
        absl::StrCat("the upstream's stream broke off: ", relay.broken.message());
    (void)co_await exchange.Write(absl::StrCat(
        "data: ", OpenAiErrorBody(what, "server_error", "", "upstream_stream_broken"), "\n\n"));
  } else if (!relay.parser.rest().empty()) {
    // The upstream ended without the blank line that ends an event.
    (void)co_await exchange.Write(absl::StrCat(std::string(relay.parser.rest()), "\n\n"));
  }
  (void)co_await exchange.Finish();
}

http::Task<void> ChatHandler::RespondFailure(http::AsyncExchange& exchange, Call& call,
                                             const Attempt& attempt) {
  call.answer.status =
      attempt.status == CallStatus::kOk ? CallStatus::kConnectFailed : attempt.status;
  call.answer.http_status = attempt.http_status;
  if (attempt.status == CallStatus::kCancelled) co_return;  // Nobody is listening.
  http::Response response;
  const bool credentials = attempt.http_status == 401 || attempt.http_status == 403;
  if (attempt.status == CallStatus::kHttpError && !credentials) {
    // The upstream's own words, as its clients know them.
    response = {.status = attempt.http_status,
                .headers = PassedHeaders(attempt.headers),
                .body = attempt.error_body};
    response.headers.Set("Content-Type", "application/json");
    if (response.body.empty())
      response.body = OpenAiErrorBody(attempt.error, "server_error", "", "upstream_error");
  } else if (attempt.status == CallStatus::kTimeout) {
    response =
        OpenAiError(Error(absl::StatusCode::kDeadlineExceeded, "UPSTREAM_TIMEOUT", attempt.error));
  } else {
    const std::string why =
        call.failures.empty() ? attempt.error : absl::StrJoin(call.failures, "; ");
    response = OpenAiError(
        Error(absl::StatusCode::kUnavailable, "UPSTREAMS_FAILED",
              absl::StrCat("route '", call.request.model, "' could not be answered: ", why)));
  }
  response.headers.Set("x-request-id", call.request_id);
  call.code = response.status;
  (void)co_await exchange.Respond(std::move(response));
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
