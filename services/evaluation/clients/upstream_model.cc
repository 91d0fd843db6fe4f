#include "services/evaluation/clients/upstream_model.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/dataset/row_json.h"
#include "common/http/sse.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::evaluation {
namespace {

using nlohmann::json;

std::string Body(const std::string& model, const RenderedQuestion& question) {
  json body = {
      {"model", model},
      {"messages", json::parse(dataset::MessagesToJson(question.messages), nullptr, false)},
      {"stream", true},
      {"stream_options", {{"include_usage", true}}}};
  const prompt::Sampling& sampling = question.sampling;
  if (sampling.temperature) body["temperature"] = *sampling.temperature;
  if (sampling.top_p) body["top_p"] = *sampling.top_p;
  if (sampling.top_k) body["top_k"] = *sampling.top_k;
  if (sampling.max_tokens) body["max_tokens"] = *sampling.max_tokens;
  if (sampling.seed) body["seed"] = *sampling.seed;
  if (!sampling.stop.empty()) body["stop"] = sampling.stop;
  if (!question.response_format.empty())
    body["response_format"] = json::parse(question.response_format, nullptr, false);
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Text, number or nothing at a path of an answer's JSON.
std::string TextAt(const json& object, const char* key) {
  auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() && found->is_string()
             ? found->get<std::string>()
             : "";
}
int64_t NumberAt(const json& object, const char* key) {
  auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() && found->is_number_integer()
             ? found->get<int64_t>()
             : 0;
}

struct ErrorKind {
  absl::StatusCode code;
  const char* reason;
};

ErrorKind KindOf(int status) {
  switch (status) {
    case 401:
      return {absl::StatusCode::kUnauthenticated, "UPSTREAM_REFUSED"};
    case 403:
      return {absl::StatusCode::kPermissionDenied, "UPSTREAM_REFUSED"};
    case 404:
      return {absl::StatusCode::kNotFound, "UPSTREAM_REFUSED"};
    case 408:
    case 504:
      return {absl::StatusCode::kDeadlineExceeded, "UPSTREAM_TIMEOUT"};
    case 409:
    case 429:
      return {absl::StatusCode::kResourceExhausted, "RATE_LIMITED"};
    case 413:
      return {absl::StatusCode::kInvalidArgument, "CONTEXT_LENGTH_EXCEEDED"};
    default:
      return status >= 500 ? ErrorKind{absl::StatusCode::kUnavailable, "UPSTREAM_UNHEALTHY"}
                           : ErrorKind{absl::StatusCode::kFailedPrecondition, "UPSTREAM_REFUSED"};
  }
}

// The reason that lies in the row, or null. OpenAI and Azure say it in `code`, llama.cpp in `type`,
// vLLM and others in words alone.
const char* RowReason(const json& error, const std::string& message) {
  std::string code =
      absl::StrCat(error.value("code", json()).dump(), " ", error.value("type", json()).dump());
  std::string words = absl::AsciiStrToLower(message);
  if (absl::StrContains(code, "context_length") || absl::StrContains(code, "exceed_context_size") ||
      absl::StrContains(code, "string_above_max_length") ||
      absl::StrContains(words, "context length") || absl::StrContains(words, "context window")) {
    return "CONTEXT_LENGTH_EXCEEDED";
  }
  if (absl::StrContains(code, "content_filter") || absl::StrContains(code, "content_policy") ||
      absl::StrContains(code, "invalid_prompt")) {
    return "CONTENT_FILTERED";
  }
  return nullptr;
}

absl::Status ToError(int status, const std::string& body) {
  json parsed = json::parse(body, nullptr, false);
  json error = parsed.is_object() ? parsed.value("error", json()) : json();
  std::string message = TextAt(error, "message");
  if (message.empty()) message = error.is_string() ? error.get<std::string>() : body.substr(0, 300);
  ErrorKind kind = KindOf(status);
  // 500 is also what an error in the middle of a stream comes as.
  bool about_request = status == 400 || status == 413 || status == 422 || status == 500;
  if (const char* reason = about_request && error.is_object() ? RowReason(error, message) : nullptr)
    kind = {absl::StatusCode::kInvalidArgument, reason};
  return Error(kind.code, absl::StrCat("the upstream answered ", status, ": ", message),
               {.reason = kind.reason});
}

// One chunk of a stream, or a whole answer: the same but for `delta` and `message`.
void Take(const json& chunk, Reply& reply) {
  std::string fingerprint = TextAt(chunk, "system_fingerprint");
  if (reply.revision.empty()) reply.revision = TextAt(chunk, "model");
  if (!fingerprint.empty() && !absl::StrContains(reply.revision, fingerprint))
    absl::StrAppend(&reply.revision, "@", fingerprint);
  if (chunk.contains("usage") && chunk["usage"].is_object()) {
    const json& usage = chunk["usage"];
    reply.usage = {.input = NumberAt(usage, "prompt_tokens"),
                   .cached_input = usage.contains("prompt_tokens_details")
                                       ? NumberAt(usage["prompt_tokens_details"], "cached_tokens")
                                       : 0,
                   .output = NumberAt(usage, "completion_tokens")};
  }
  if (!chunk.contains("choices") || !chunk["choices"].is_array() || chunk["choices"].empty())
    return;
  const json& choice = chunk["choices"][0];
  const char* part = choice.contains("delta") ? "delta" : "message";
  if (choice.contains(part)) reply.output += TextAt(choice[part], "content");
  std::string reason = TextAt(choice, "finish_reason");
  if (!reason.empty()) reply.finish_reason = reason;
}

}  // namespace

absl::StatusOr<std::string> ReadCredential(const std::string& reference) {
  auto missing = [&](const std::string& what) {
    return Error(absl::StatusCode::kFailedPrecondition, "CONFIG_INVALID",
                 absl::StrCat("credential_ref: ", what));
  };
  if (reference.empty()) return std::string();
  if (absl::StartsWith(reference, "env:")) {
    const char* value = std::getenv(reference.c_str() + 4);
    if (value == nullptr)
      return missing(absl::StrCat("the environment has no ", reference.substr(4)));
    return std::string(value);
  }
  if (!absl::StartsWith(reference, "file:")) return missing("expected file:/path or env:NAME");
  std::ifstream file(reference.substr(5));
  if (!file) return missing(absl::StrCat("cannot read ", reference.substr(5)));
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return std::string(absl::StripAsciiWhitespace(text));
}

absl::StatusOr<Reply> UpstreamModel::Ask(const UpstreamAddress& address, const std::string& model,
                                         const RenderedQuestion& question, absl::Duration timeout) {
  http::ClientRequest request{.method = "POST",
                              .url = absl::StrCat(address.base_url, "/chat/completions"),
                              .body = Body(model, question),
                              .timeout = timeout};
  request.headers.Set("Content-Type", "application/json");
  if (!address.api_key.empty())
    request.headers.Set("Authorization", absl::StrCat("Bearer ", address.api_key));

  Reply reply;
  http::SseParser parser;
  int status = 0;
  bool streamed = false;
  bool finished = false;
  std::string body;
  absl::Duration sent = clock_.SteadyNow();
  absl::Status done = client_.Stream(
      std::move(request),
      [&](const http::ClientResponse& head) {
        status = head.status;
        streamed = absl::StrContains(std::string(head.headers.Get("Content-Type").value_or("")),
                                     "event-stream");
        return true;
      },
      [&](std::string_view piece) {
        if (status != 200 || !streamed) {
          body += piece;
          return true;
        }
        for (const http::SseEvent& event : parser.Feed(piece)) {
          if (event.data == "[DONE]") {
            finished = true;
            continue;
          }
          json chunk = json::parse(event.data, nullptr, false);
          if (chunk.is_object() && chunk.contains("error")) body = event.data;
          if (chunk.is_object()) Take(chunk, reply);
          if (reply.first_token_seconds == 0 && !reply.output.empty()) {
            reply.first_token_seconds = absl::ToDoubleSeconds(clock_.SteadyNow() - sent);
          }
        }
        return true;
      });
  reply.latency_seconds = absl::ToDoubleSeconds(clock_.SteadyNow() - sent);
  RETURN_IF_ERROR(done);
  if (status != 200) return ToError(status, body);
  if (streamed) {
    if (!body.empty()) return ToError(500, body);
    if (finished || !reply.finish_reason.empty()) return reply;
    return Error(absl::StatusCode::kUnavailable, "UPSTREAM_CUT",
                 "the upstream's stream ended before the answer did");
  }
  json whole = json::parse(body, nullptr, false);
  if (!whole.is_object()) return ToError(500, body);
  Take(whole, reply);
  return reply;
}

}  // namespace crossover::evaluation
