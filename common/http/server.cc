#include "common/http/server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/http/connection.h"
#include "common/http/route_table.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::http {
namespace {

namespace asio = ::boost::asio;
using ErrorCode = boost::system::error_code;
using Tcp = asio::ip::tcp;

// One io_context, run by one thread, with the connections that live there.
struct IoThread {
  IoThread() : context(1), guard(asio::make_work_guard(context)) {}

  asio::io_context context;
  asio::executor_work_guard<asio::io_context::executor_type> guard;
  std::unordered_set<std::shared_ptr<Connection>> connections;  // this thread only
  std::thread thread;
};

// The blocking face of an AsyncExchange: every operation runs on the connection's thread and is
// waited for.
class BlockingExchange final : public Exchange {
 public:
  explicit BlockingExchange(AsyncExchange& exchange) : exchange_(exchange) {}
  ~BlockingExchange() override {
    std::lock_guard lock(watch_->mutex);
    watch_->callback = nullptr;  // not after the handler returned
  }

  const Request& request() const override { return exchange_.request(); }
  absl::StatusOr<std::string> ReadBody() override { return Run(exchange_.ReadBody()); }
  absl::Status Respond(Response response) override {
    return Run(exchange_.Respond(std::move(response)));
  }
  absl::Status Start(int status, Headers headers) override {
    return Run(exchange_.Start(status, std::move(headers)));
  }
  absl::Status Write(std::string_view piece) override {
    return Run(exchange_.Write(std::string(piece)));
  }
  absl::Status Finish() override { return Run(exchange_.Finish()); }
  // Without a lock: a handler may ask while it holds a mutex that its own callback takes.
  bool Disconnected() const override { return watch_->gone; }

  // Watching starts on the connection's thread, which also calls back.
  void OnDisconnect(std::function<void()> callback) override {
    {
      std::lock_guard lock(watch_->mutex);
      watch_->callback = std::move(callback);
    }
    asio::post(exchange_.executor(), [exchange = &exchange_, watch = watch_] {
      exchange->OnDisconnect([watch] {
        watch->gone = true;
        std::lock_guard lock(watch->mutex);
        if (auto call = std::exchange(watch->callback, nullptr)) call();
      });
    });
  }

 private:
  // Shared with the connection's thread.
  struct Watch {
    std::atomic<bool> gone = false;
    std::mutex mutex;  // held while the callback runs, so that the handler cannot end under it
    std::function<void()> callback;
  };

  template <typename T>
  T Run(Task<T> task) {
    T result = asio::co_spawn(exchange_.executor(), std::move(task), asio::use_future).get();
    if (exchange_.Disconnected()) watch_->gone = true;
    return result;
  }

  AsyncExchange& exchange_;
  std::shared_ptr<Watch> watch_ = std::make_shared<Watch>();
};

absl::Status BindError(const ServerOptions& options, const ErrorCode& code) {
  const std::string address = absl::StrCat(options.address, ":", options.port);
  if (code == asio::error::address_in_use) {
    return Error(
        absl::StatusCode::kUnavailable, "PORT_IN_USE",
        absl::StrCat("cannot listen on ", address,
                     ": another process uses this port; choose another port or stop that process"));
  }
  const bool denied = code == asio::error::access_denied;
  return Error(denied ? absl::StatusCode::kPermissionDenied : absl::StatusCode::kUnavailable,
               denied ? "PORT_DENIED" : "PORT_UNUSABLE",
               absl::StrCat("cannot listen on ", address, ": ", code.message(),
                            denied ? "; ports below 1024 need root, choose a higher one" : ""));
}

}  // namespace

struct Server::Impl final : public AsyncRoutes {
  Impl(ServerOptions opts, Logger& log)
      : options(std::move(opts)), logger(log), workers(options.worker_threads) {
    for (int i = 0; i < std::max(1, options.threads); ++i)
      threads.push_back(std::make_unique<IoThread>());
  }

  void Handle(std::string_view method, std::string_view pattern, AsyncHandler handler,
              RouteOptions route) override {
    routes.Add(method, pattern, {std::move(handler), route});
  }

  std::vector<asio::any_io_executor> Executors() override {
    std::vector<asio::any_io_executor> out;
    for (const auto& thread : threads) out.push_back(thread->context.get_executor());
    return out;
  }

  // Runs `handler` on a worker thread; the coroutine waits without blocking the connection's
  // thread.
  Task<void> RunBlocking(AsyncExchange& exchange, const StreamHandler& handler) {
    std::exception_ptr failure;
    auto initiate = [&](auto completion) {
      asio::post(workers, [&, completion = std::move(completion)]() mutable {
        try {
          BlockingExchange blocking(exchange);
          handler(blocking);
        } catch (...) {
          failure = std::current_exception();
        }
        asio::post(exchange.executor(), std::move(completion));
      });
    };
    co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(initiate,
                                                                         asio::use_awaitable);
    if (failure != nullptr) std::rethrow_exception(failure);
  }

  absl::Status Bind() {
    ErrorCode code;
    const auto address = asio::ip::make_address(options.address, code);
    if (code) {
      return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                   "'" + options.address + "' is not an IP address to listen on");
    }
    const Tcp::endpoint endpoint(address, static_cast<unsigned short>(options.port));
    acceptor = std::make_unique<Tcp::acceptor>(threads[0]->context);
    acceptor->open(endpoint.protocol(), code);
    if (!code) acceptor->set_option(asio::socket_base::reuse_address(true), code);
    if (!code) acceptor->bind(endpoint, code);
    if (!code) acceptor->listen(asio::socket_base::max_listen_connections, code);
    if (code) return BindError(options, code);
    port = acceptor->local_endpoint().port();
    return absl::OkStatus();
  }

  Task<void> Accept() {
    for (size_t next = 0;; ++next) {
      IoThread& thread = *threads[next % threads.size()];
      Tcp::socket socket(thread.context);
      auto [code] = co_await acceptor->async_accept(socket, asio::as_tuple(asio::use_awaitable));
      if (code == asio::error::operation_aborted || code == asio::error::bad_descriptor) co_return;
      if (code) {  // out of descriptors, most likely: wait a little instead of spinning
        logger.Warning("http_accept_failed", {{"error", code.message()}});
        asio::steady_timer timer(threads[0]->context, std::chrono::milliseconds(50));
        co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        continue;
      }
      Adopt(thread, std::move(socket));
    }
  }

  void Adopt(IoThread& thread, Tcp::socket socket) {
    if (open.fetch_add(1) >= options.max_connections) {
      open.fetch_sub(1);
      ErrorCode ignored;
      const std::string body = OpenAiError("too many connections", "server_error", "overloaded");
      const Headers headers{{"Content-Type", "application/json"}, {"Retry-After", "1"}};
      socket.non_blocking(true, ignored);
      socket.write_some(asio::buffer(ResponseHead(503, headers, false, body.size()) + body),
                        ignored);
      return;
    }
    auto connection = std::make_shared<Connection>(std::move(socket), options, routes, logger);
    asio::post(thread.context, [this, &thread, connection] {
      thread.connections.insert(connection);
      if (stopping) connection->CloseWhenIdle();
      asio::co_spawn(
          thread.context, [connection]() -> Task<void> { co_await connection->Run(); },
          [this, &thread, connection](const std::exception_ptr& failure) {
            if (failure != nullptr) logger.Error("http_connection_failed");
            thread.connections.erase(connection);
            open.fetch_sub(1);
          });
    });
  }

  template <typename Fn>
  void OnEveryConnection(Fn fn) {
    for (const auto& thread : threads) {
      asio::post(thread->context, [t = thread.get(), fn] {
        for (const auto& connection : std::vector(t->connections.begin(), t->connections.end()))
          fn(*connection);
      });
    }
  }

  bool WaitUntilClosed(absl::Duration limit) {
    const absl::Duration end = SystemClock().SteadyNow() + limit;
    while (open > 0) {
      if (SystemClock().SteadyNow() >= end) return false;
      SystemClock().SleepFor(absl::Milliseconds(2));
    }
    return true;
  }

  void Stop(absl::Duration grace) {
    std::lock_guard lock(stop_mutex);
    if (!started || std::exchange(stopped, true)) return;
    stopping = true;
    // In the acceptor's own thread: closing it elsewhere would race with accepting.
    std::promise<void> closed;
    asio::post(threads[0]->context, [&] {
      ErrorCode ignored;
      acceptor->close(ignored);
      closed.set_value();
    });
    closed.get_future().wait();
    OnEveryConnection([](Connection& connection) { connection.CloseWhenIdle(); });
    if (!WaitUntilClosed(grace)) {
      OnEveryConnection([](Connection& connection) { connection.Close(); });
      WaitUntilClosed(absl::Seconds(5));
    }
    workers.join();  // blocking handlers use the io threads until they return
    for (const auto& thread : threads) {
      thread->guard.reset();
      thread->context.stop();
      thread->thread.join();
    }
  }

  const ServerOptions options;
  Logger& logger;
  RouteTable routes;
  std::vector<std::unique_ptr<IoThread>> threads;
  asio::thread_pool workers;
  std::unique_ptr<Tcp::acceptor> acceptor;
  int port = 0;
  std::atomic<int> open = 0;
  std::atomic<bool> stopping = false;
  std::mutex stop_mutex;
  bool started = false;
  bool stopped = false;
};

Server::Server(ServerOptions options, Logger& logger)
    : impl_(std::make_unique<Impl>(std::move(options), logger)) {}

Server::~Server() { Stop(); }

void Server::HandleStream(std::string_view method, std::string_view pattern, StreamHandler handler,
                          RouteOptions options) {
  impl_->Handle(
      method, pattern,
      [impl = impl_.get(), handler = std::move(handler)](AsyncExchange& exchange) {
        return impl->RunBlocking(exchange, handler);
      },
      options);
}

void Server::Handle(std::string_view method, std::string_view pattern, Handler handler,
                    RouteOptions options) {
  HandleStream(
      method, pattern,
      [handler = std::move(handler)](Exchange& exchange) {
        exchange.Respond(handler(exchange.request())).IgnoreError();
      },
      options);
}

AsyncRoutes& Server::async() { return *impl_; }

absl::Status Server::Start() {
  RETURN_IF_ERROR(impl_->Bind());
  asio::co_spawn(impl_->threads[0]->context, impl_->Accept(), asio::detached);
  for (const auto& thread : impl_->threads) {
    thread->thread = std::thread([t = thread.get()] { t->context.run(); });
  }
  impl_->started = true;
  return absl::OkStatus();
}

int Server::port() const { return impl_->port; }
void Server::Stop(absl::Duration grace) { impl_->Stop(grace); }
int Server::connections() const { return impl_->open; }

void AddMetricsRoute(Server& server, std::function<std::string()> expose) {
  server.Handle("GET", "/metrics", [expose = std::move(expose)](const Request&) {
    Response response = Response::Text(200, expose());
    response.headers.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    return response;
  });
}

void AddHealthRoutes(Server& server, std::function<absl::Status()> ready,
                     std::function<absl::Status()> alive) {
  server.Handle("GET", "/healthz", [alive = std::move(alive)](const Request&) {
    const absl::Status status = alive ? alive() : absl::OkStatus();
    if (status.ok()) return Response::Text(200, "ok\n");
    return Response::Text(503, std::string(ToStd(status.message())) + "\n");
  });
  server.Handle("GET", "/readyz", [ready = std::move(ready)](const Request&) {
    const absl::Status status = ready();
    if (status.ok()) return Response::Text(200, "ready\n");
    return Response::Text(503, std::string(ToStd(status.message())) + "\n");
  });
}

}  // namespace crossover::http
