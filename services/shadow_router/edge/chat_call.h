// One request on its way through ChatHandler, for the handler's own .cc files.
//
// Not thread-safe: a request's coroutine owns both.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/http/async.h"
#include "services/shadow_router/domain/books.h"
#include "services/shadow_router/domain/caller.h"
#include "services/shadow_router/domain/key_meter.h"
#include "services/shadow_router/edge/chat_handler.h"

namespace crossover::router {

inline std::string WhoAsks(const Caller& caller) {
  return absl::StrCat(caller.project, "/", caller.name);
}

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

}  // namespace crossover::router
