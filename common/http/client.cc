#include "common/http/client.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/context/request_context.h"
#include "common/http/async.h"
#include "common/status/error.h"
#include "common/time/clock.h"

namespace crossover::http {
namespace {

namespace asio = ::boost::asio;

// The deadline and the trace of the request in progress go with the call.
void ApplyContext(ClientRequest& request) {
  const RequestContext& context = RequestContext::Current();
  request.timeout = std::min(request.timeout, context.Remaining(SystemClock()));
  if (!context.traceparent.empty() && !request.headers.Has("traceparent")) {
    request.headers.Set("traceparent", context.traceparent);
  }
}

}  // namespace

struct Client::Impl {
  explicit Impl(ClientOptions options)
      : context(1),
        guard(asio::make_work_guard(context)),
        client(std::make_unique<AsyncClient>(std::move(options))) {
    thread = std::thread([this] { context.run(); });
  }

  ~Impl() {
    // Pooled connections end on their own thread, before their context.
    asio::post(context, [this] { client.reset(); });
    guard.reset();
    thread.join();
  }

  template <typename T>
  T Run(Task<T> task) {
    return asio::co_spawn(context, std::move(task), asio::use_future).get();
  }

  asio::io_context context;
  asio::executor_work_guard<asio::io_context::executor_type> guard;
  std::unique_ptr<AsyncClient> client;
  std::thread thread;
};

Client::Client(ClientOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Client::~Client() = default;

absl::StatusOr<ClientResponse> Client::Send(ClientRequest request) {
  ApplyContext(request);
  return impl_->Run(impl_->client->Send(std::move(request)));
}

absl::Status Client::Stream(ClientRequest request,
                            const std::function<bool(const ClientResponse& head)>& on_head,
                            const std::function<bool(std::string_view piece)>& on_body) {
  ApplyContext(request);
  absl::StatusOr<std::unique_ptr<AsyncStream>> stream =
      impl_->Run(impl_->client->Open(std::move(request)));
  if (!stream.ok()) return stream.status();
  // The stream belongs to the io thread, also its end, whatever the callbacks throw.
  const absl::Cleanup release = [&] {
    std::promise<void> done;
    asio::post(impl_->context, [&] {
      stream->reset();
      done.set_value();
    });
    done.get_future().wait();
  };
  const absl::Status refused =
      Error(absl::StatusCode::kCancelled, "CANCELLED", "the caller stopped reading");
  absl::Status status;
  if (!on_head({.status = (*stream)->status(), .headers = (*stream)->headers()})) status = refused;
  while (status.ok()) {
    const absl::StatusOr<std::string> piece = impl_->Run((*stream)->Read());
    if (!piece.ok()) status = piece.status();
    if (!piece.ok() || piece->empty()) break;
    if (!on_body(*piece)) status = refused;
  }
  return status;
}

}  // namespace crossover::http
