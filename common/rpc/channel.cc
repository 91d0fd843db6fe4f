#include "common/rpc/channel.h"

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "common/context/request_context.h"
#include "common/rpc/error_mapper.h"
#include "common/rpc/token_channel.h"
#include "common/status/error.h"

namespace crossover::rpc {
namespace {

constexpr char kAuthorization[] = "authorization";

Clock& ClockOf(const CallOptions& options) {
  return options.clock == nullptr ? SystemClock() : *options.clock;
}

absl::Duration TimeLeftFor(const CallOptions& options) {
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
    context.AddMetadata(kAuthorization, "Bearer " + std::string(options.api_key));
}

// Adds the channel's token to the calls that have none. (Call credentials would do so too, but gRPC
// takes them on encrypted channels only.)
class TokenSender final : public grpc::experimental::Interceptor {
 public:
  explicit TokenSender(const std::function<std::string()>& token) : token_(token) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    using grpc::experimental::InterceptionHookPoints;
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      auto* metadata = methods->GetSendInitialMetadata();
      if (metadata->count(kAuthorization) == 0)
        metadata->emplace(kAuthorization, "Bearer " + token_());
    }
    methods->Proceed();
  }

 private:
  const std::function<std::string()>& token_;
};

class TokenSenderFactory final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenSenderFactory(std::function<std::string()> token) : token_(std::move(token)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenSender(token_);  // gRPC owns it
  }

 private:
  const std::function<std::string()> token_;
};

}  // namespace

std::shared_ptr<grpc::Channel> NewChannel(const std::string& target,
                                          const ChannelOptions& options) {
  return NewTokenChannel(target, nullptr, options);
}

std::shared_ptr<grpc::Channel> NewTokenChannel(const std::string& target,
                                               std::function<std::string()> token,
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
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (token) interceptors.push_back(std::make_unique<TokenSenderFactory>(std::move(token)));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, grpc::InsecureChannelCredentials(), arguments, std::move(interceptors));
}

void PrepareContext(grpc::ClientContext& context, const CallOptions& options) {
  Prepare(context, options, TimeLeftFor(options));
}

absl::Status RunCall(const CallOptions& options,
                     const std::function<grpc::Status(grpc::ClientContext*)>& attempt) {
  Clock& clock = ClockOf(options);
  const absl::Duration end = clock.SteadyNow() + TimeLeftFor(options);
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
