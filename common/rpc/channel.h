// Channels and unary calls for clients.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/time/clock.h"

namespace crossover::rpc {

struct ChannelOptions {
  int max_message_bytes = 64 << 20;
  absl::Duration reconnect_min = absl::Milliseconds(50);
  absl::Duration reconnect_max = absl::Seconds(2);
  std::string api_key;  // sent as "authorization: Bearer …" by Call
};

// "host:port", "unix:/path". Connects at the first call, reconnects by itself; never fails.
std::shared_ptr<grpc::Channel> NewChannel(const std::string& target,
                                          const ChannelOptions& options = {});

struct CallOptions {
  // Upper bound; the deadline of the calling thread's RequestContext also counts.
  absl::Duration timeout = absl::Seconds(10);
  // Calls that may safely run twice are tried again when the answer is UNAVAILABLE, with jittered
  // back-off, within the timeout.
  bool idempotent = false;
  int max_attempts = 4;
  // Waits for a server that is not up yet instead of failing at once with UNAVAILABLE (still
  // bounded by timeout).
  bool wait_for_ready = false;
  std::string_view api_key;
  Clock* clock = nullptr;  // nullptr: SystemClock()
};

// Sets deadline, traceparent and authorization of a context: for streaming calls made by hand.
void PrepareContext(grpc::ClientContext& context, const CallOptions& options);

// One attempt after another until OK, not retryable, or out of time. Errors are mapped by FromGrpc.
absl::Status RunCall(const CallOptions& options,
                     const std::function<grpc::Status(grpc::ClientContext*)>& attempt);

// ASSIGN_OR_RETURN(pb::Job job, rpc::Invoke(*stub_, &pb::JobService::Stub::GetJob, request,
// {.idempotent = true}));
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Invoke(
    Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
    const std::type_identity_t<Request>& request, const CallOptions& options = {}) {
  Response response;
  absl::Status status = RunCall(options, [&](grpc::ClientContext* context) {
    response.Clear();
    return (stub.*method)(context, request, &response);
  });
  if (!status.ok()) return status;
  return response;
}

}  // namespace crossover::rpc
