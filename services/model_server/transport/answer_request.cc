#include "services/model_server/transport/answer_request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http/sse.h"

namespace crossover::inference {
namespace {

http::Headers AnswerHeaders(const http::Request& request, const std::string& id) {
  http::Headers headers;
  headers.Set("x-request-id", std::string(request.headers.Get("x-request-id").value_or(id)));
  return headers;
}

http::Task<void> AnswerWhole(http::AsyncExchange& exchange, const AnswerWriter& writer,
                             AnswerOptions options, Mailbox& mailbox) {
  std::vector<Choice> choices(static_cast<size_t>(options.choices));
  for (;;) {
    Mailbox::Letter letter = co_await mailbox.Next();
    if (const auto* piece = std::get_if<AnswerPiece>(&letter)) {
      Choice& choice = choices[static_cast<size_t>(piece->index)];
      choice.text += piece->text;
      choice.tokens.insert(choice.tokens.end(), piece->tokens.begin(), piece->tokens.end());
      if (piece->finish_reason.empty()) continue;
      choice.finish_reason = piece->finish_reason;
      choice.tool_calls = piece->tool_calls;
      continue;
    }
    const auto& summary = std::get<absl::StatusOr<AnswerSummary>>(letter);
    http::Response response =
        summary.ok() ? http::Response::Json(200, Dump(writer.Whole(choices, summary->usage)))
                     : ErrorResponse(summary.status());
    for (const auto& [name, value] : AnswerHeaders(exchange.request(), writer.head().id))
      response.headers.Set(name, value);
    if (summary.ok()) {
      response.headers.Set("openai-processing-ms",
                           absl::StrCat(absl::ToInt64Milliseconds(summary->timing.total)));
    }
    (void)co_await exchange.Respond(std::move(response));
    co_return;
  }
}

http::Task<void> AnswerStream(http::AsyncExchange& exchange, const AnswerWriter& writer,
                              AnswerOptions options, Mailbox& mailbox) {
  http::Headers headers = AnswerHeaders(exchange.request(), writer.head().id);
  headers.Set("content-type", "text/event-stream");
  headers.Set("cache-control", "no-cache");
  if (!(co_await exchange.Start(200, std::move(headers))).ok()) co_return;
  for (int64_t i = 0; i < options.choices; ++i) {
    const nlohmann::ordered_json opening = writer.Opening(i);
    if (opening.is_null()) continue;
    if (!(co_await exchange.Write(http::SseFrame(Dump(opening)))).ok()) co_return;
  }
  for (;;) {
    Mailbox::Letter letter = co_await mailbox.Next();
    if (const auto* piece = std::get_if<AnswerPiece>(&letter)) {
      if (!(co_await exchange.Write(http::SseFrame(Dump(writer.Chunk(*piece))))).ok()) co_return;
      continue;
    }
    const auto& summary = std::get<absl::StatusOr<AnswerSummary>>(letter);
    std::string frame;
    if (!summary.ok()) {
      frame = http::SseFrame(Dump(ErrorJson(summary.status())));
    } else {
      if (options.include_usage) frame = http::SseFrame(Dump(writer.Usage(summary->usage)));
      frame += http::SseFrame("[DONE]");
    }
    if ((co_await exchange.Write(std::move(frame))).ok()) (void)co_await exchange.Finish();
    co_return;
  }
}

}  // namespace

http::Task<void> AnswerRequest(http::AsyncExchange& exchange, const AnswerWriter& writer,
                               AnswerOptions options, Mailbox& mailbox) {
  if (options.stream) {
    co_await AnswerStream(exchange, writer, options, mailbox);
  } else {
    co_await AnswerWhole(exchange, writer, options, mailbox);
  }
}

}  // namespace crossover::inference
