// Reading Watch streams: over interruptions of the connection, until the end, or until Ctrl-C.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "cli/client/context.h"
#include "cli/output/error.h"
#include "common/rpc/error_mapper.h"
#include "common/status/error.h"

namespace crossover::cli {

enum class Watching { kGoOn, kStop };

inline constexpr absl::Duration kWatchDeadline = absl::Hours(24 * 7);
inline constexpr int kReconnects = 30;  // about a minute: enough for a platform that restarts

// Opens the stream with `open(context, resume_token)` and hands every response to `on_item`. When
// the server goes away it is opened again after the last token seen. CANCELLED `CLI_INTERRUPTED` on
// Ctrl-C.
template <typename Response>
absl::Status Watch(Context& context,
                   std::function<std::unique_ptr<grpc::ClientReader<Response>>(grpc::ClientContext*,
                                                                               const std::string&)>
                       open,
                   std::function<Watching(const Response&)> on_item) {
  std::string token;
  const std::string key = context.ApiKey();
  for (int failures = 0;;) {
    grpc::ClientContext call;
    rpc::PrepareContext(call, {.timeout = kWatchDeadline, .api_key = key});
    std::atomic<bool> interrupted = false;
    grpc::Status ended;
    bool stopped = false;
    {
      ScopedInterrupt on_interrupt(context.world.interrupts, [&] {
        interrupted = true;
        call.TryCancel();
      });
      auto reader = open(&call, token);
      Response response;
      while (!stopped && reader->Read(&response)) {
        failures = 0;
        token = response.resume_token();
        stopped = on_item(response) == Watching::kStop;
      }
      if (stopped) call.TryCancel();
      ended = reader->Finish();
    }
    if (stopped || (ended.ok() && !interrupted)) return absl::OkStatus();
    if (interrupted) return Error(absl::StatusCode::kCancelled, kInterrupted, "interrupted");
    const bool never_there = token.empty() && failures == 0;
    if (ended.error_code() != grpc::StatusCode::UNAVAILABLE || never_there ||
        ++failures > kReconnects) {
      return context.Explained(rpc::FromGrpc(ended));
    }
    context.world.clock.SleepFor(absl::Seconds(2));
  }
}

// Asks again and again until `done` says so; for resources without a Watch method. CANCELLED
// `CLI_INTERRUPTED` on Ctrl-C.
template <typename Resource>
absl::StatusOr<Resource> Poll(Context& context, std::function<absl::StatusOr<Resource>()> get,
                              std::function<Watching(const Resource&)> on_item) {
  std::atomic<bool> interrupted = false;
  ScopedInterrupt on_interrupt(context.world.interrupts, [&] { interrupted = true; });
  while (true) {
    ASSIGN_OR_RETURN(Resource resource, get());
    if (on_item(resource) == Watching::kStop) return resource;
    if (interrupted) return Error(absl::StatusCode::kCancelled, kInterrupted, "interrupted");
    context.world.clock.SleepFor(absl::Milliseconds(500));
  }
}

}  // namespace crossover::cli
