#include "common/rpc/channel.h"

#include <algorithm>
#include <random>

#include "common/context/request_context.h"
#include "common/rpc/error_mapper.h"
#include "common/status/error.h"

namespace crossover::rpc {
namespace {

Clock& ClockOf(const CallOptions& options) {
  return options.clock == nullptr ? SystemClock() : *options.clock;
}

absl::Duration TimeLeft(const CallOptions& options) {
  return std::min(options.timeout, RequestContext::Current().Remaining(ClockOf(options)));
}

absl::Duration Backoff(int attempt) {
  thread_local std::minstd_rand engine{std::random_device{}()};
  const double ms = std::min(50.0 * (1 << std::min(attempt - 1, 6)), 2000.0);
  return absl::Milliseconds(std::uniform_real_distribution<double>(ms / 2, ms)(engine));
}

void Prepare(grpc::ClientContext& context, const CallOptions& options, absl::Duration left) {
  if (left != absl::InfiniteDuration()) {
    context.set_deadline(absl::ToChronoTime(SystemClock().Now() + left));  // gRPC's is wall time
  }
  context.set_wait_for_ready(options.wait_for_ready);
  const std::string& traceparent = RequestContext::Current().traceparent;
  if (!traceparent.empty()) context.AddMetadata("traceparent", traceparent);
  if (!options.api_key.empty())
    context.AddMetadata("authorization", "Bearer " + std::string(options.api_key));
}

}  // namespace

std::shared_ptr<grpc::Channel> NewChannel(const std::string& target,
                                          const ChannelOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_message_bytes);
  arguments.SetMaxSendMessageSize(options.max_message_bytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   static_cast<int>(absl::ToInt64Milliseconds(options.reconnect_min)));
  // Despite its name, how long an attempt to connect may take at least: on a busy machine a
  // handshake takes its time.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
                   static_cast<int>(absl::ToInt64Milliseconds(options.reconnect_max)));
  // Proxies of the environment are for the internet, not for the services of one deployment.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

void PrepareContext(grpc::ClientContext& context, const CallOptions& options) {
  Prepare(context, options, TimeLeft(options));
}

absl::Status RunCall(const CallOptions& options,
                     const std::function<grpc::Status(grpc::ClientContext*)>& attempt) {
  Clock& clock = ClockOf(options);
  const absl::Duration end = clock.SteadyNow() + TimeLeft(options);
  for (int count = 1;; ++count) {
    const absl::Duration left = end - clock.SteadyNow();
    if (left <= absl::ZeroDuration()) {
      return Error(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                   "no time was left for the call");
    }
    grpc::ClientContext context;
    Prepare(context, options, left);
    const grpc::Status status = attempt(&context);
    const bool again = options.idempotent && status.error_code() == grpc::StatusCode::UNAVAILABLE;
    if (!again || count >= options.max_attempts) return FromGrpc(status);
    const absl::Duration pause = Backoff(count);
    if (clock.SteadyNow() + pause >= end) return FromGrpc(status);
    clock.SleepFor(pause);
  }
}

}  // namespace crossover::rpc
