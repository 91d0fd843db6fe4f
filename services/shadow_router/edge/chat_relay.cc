// How an answer goes back to the client: whole, as a stream, or as an error.
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "services/shadow_router/edge/chat_call.h"
#include "services/shadow_router/edge/chat_handler.h"
#include "services/shadow_router/edge/openai_error.h"
#include "services/shadow_router/edge/passed_headers.h"

namespace crossover::router {

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

}  // namespace crossover::router
