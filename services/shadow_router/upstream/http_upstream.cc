#include "services/shadow_router/upstream/http_upstream.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <list>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http/async.h"
#include "services/shadow_router/upstream/async_upstream.h"

namespace crossover::router {
namespace {

namespace asio = boost::asio;

http::ClientRequest RequestOf(const UpstreamCall& call) {
  http::ClientRequest request{.method = "POST",
                              .url = absl::StrCat(call.target.base_url, "/chat/completions"),
                              .headers = {{"Content-Type", "application/json"}},
                              .body = call.body,
                              .timeout = call.target.timeout};
  if (!call.target.api_key.empty())
    request.headers.Set("Authorization", absl::StrCat("Bearer ", call.target.api_key));
  if (!call.traceparent.empty()) request.headers.Set("traceparent", call.traceparent);
  if (!call.request_id.empty()) request.headers.Set("x-request-id", call.request_id);
  if (call.target.is_ours) request.headers.Set("x-crossover-caller", call.caller);
  return request;
}

Answer Failed(CallStatus status, std::string error) {
  Answer answer;
  answer.status = status;
  answer.error = std::move(error);
  return answer;
}

Answer ReadAnswer(int http_status, const std::string& body) {
  if (http_status < 200 || http_status > 299) {
    Answer answer = Failed(CallStatus::kHttpError, absl::StrCat("HTTP ", http_status));
    answer.http_status = http_status;
    return answer;
  }
  absl::StatusOr<Answer> answer = ParseCompletion(body);
  if (answer.ok()) return *std::move(answer);
  return Failed(CallStatus::kBroken, std::string(answer.status().message()));
}

}  // namespace

struct HttpUpstream::Impl {
  Impl(http::ClientOptions options, Clock& clock) : clock(clock), client(std::move(options)) {}

  http::Task<Answer> Run(const UpstreamCall& call, std::list<http::CancelToken>::iterator token) {
    const absl::Duration began = clock.SteadyNow();
    auto stream = co_await client.Open(RequestOf(call), *token);
    if (!stream.ok())
      co_return Failed(CallStatusOf(stream.status()), std::string(stream.status().message()));
    const absl::Duration first = clock.SteadyNow() - began;
    const absl::StatusOr<std::string> body = co_await ReadAll(**stream, call.max_answer_bytes);
    if (!body.ok()) {
      // The head had come: an end from here on is a broken answer, not a server that can't be
      // reached.
      const CallStatus status = CallStatusOf(body.status());
      co_return Failed(status == CallStatus::kConnectFailed ? CallStatus::kBroken : status,
                       std::string(body.status().message()));
    }
    Answer answer = ReadAnswer((*stream)->status(), *body);
    answer.ttft = first;  // Never streamed: the head comes with the answer.
    answer.latency = clock.SteadyNow() - began;
    co_return answer;
  }

  Clock& clock;
  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  http::AsyncClient client;
  std::list<http::CancelToken> tokens;  // Only touched on the io thread.
  bool shut_down = false;               // Likewise.
  std::thread thread{[this] { io.run(); }};
};

HttpUpstream::HttpUpstream(http::ClientOptions options, Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), clock)) {}

HttpUpstream::~HttpUpstream() {
  Shutdown();
  impl_->work.reset();
  impl_->io.stop();
  impl_->thread.join();
}

Answer HttpUpstream::Call(const UpstreamCall& call) {
  std::promise<Answer> promise;
  std::future<Answer> answer = promise.get_future();
  asio::co_spawn(
      impl_->io,
      [this, &call, &promise]() -> http::Task<void> {
        if (impl_->shut_down) {
          promise.set_value(Failed(CallStatus::kCancelled, "the router is stopping"));
          co_return;
        }
        const auto token = impl_->tokens.emplace(impl_->tokens.end());
        Answer result = co_await impl_->Run(call, token);
        impl_->tokens.erase(token);
        promise.set_value(std::move(result));
      },
      [&promise](std::exception_ptr error) {
        if (error)
          promise.set_value(Failed(CallStatus::kBroken, "the call ended with an exception"));
      });
  return answer.get();
}

void HttpUpstream::Shutdown() {
  asio::post(impl_->io, [impl = impl_.get()] {
    impl->shut_down = true;
    for (http::CancelToken& token : impl->tokens) token.Cancel();
  });
}

}  // namespace crossover::router
