#include "common/pg/listener.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <pqxx/pqxx>
#include <random>
#include <thread>
#include <utility>

#include "common/pg/connect.h"
#include "common/pg/transaction.h"

namespace crossover::pg {
namespace {

// Hands one channel's notifications to the callback.
class Receiver final : public pqxx::notification_receiver {
 public:
  Receiver(pqxx::connection& connection, const std::string& channel,
           const Listener::Callback& callback)
      : pqxx::notification_receiver(connection, channel), callback_(callback) {}
  void operator()(const std::string& payload, int) override { callback_(channel(), payload); }

 private:
  const Listener::Callback& callback_;
};

}  // namespace

struct Listener::Impl {
  Impl(ListenerOptions opts, Callback cb, Logger& log)
      : options(std::move(opts)),
        callback(std::move(cb)),
        logger(log),
        stop_fd(::eventfd(0, EFD_CLOEXEC)) {
    thread = std::thread([this] { Run(); });
  }

  ~Impl() {
    const uint64_t one = 1;
    stopping = true;
    while (::write(stop_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    thread.join();
    ::close(stop_fd);
  }

  void Run() {
    absl::Duration delay = options.reconnect_min;
    while (!stopping) {
      absl::StatusOr<std::unique_ptr<Connection>> connection =
          Connect({.dsn = options.dsn, .application_name = "crossover-listener"});
      absl::Status status = connection.status();
      if (status.ok()) {
        delay = options.reconnect_min;
        status = Serve((*connection)->get());
      }
      if (stopping) return;
      logger.Warning("pg_listener_reconnect", {{"status", status}, {"delay_seconds", delay}});
      WaitForStop(delay * std::uniform_real_distribution<double>(0.5, 1)(random));
      delay = std::min(delay * 2, options.reconnect_max);
    }
  }

  // Until the connection breaks or stop is asked for.
  absl::Status Serve(pqxx::connection& connection) {
    try {
      std::vector<std::unique_ptr<Receiver>> receivers;
      for (const std::string& channel : options.channels) {
        receivers.push_back(std::make_unique<Receiver>(connection, channel, callback));
      }
      for (const std::string& channel : options.channels) callback(channel, "");
      while (!stopping) {
        pollfd fds[] = {{connection.sock(), POLLIN, 0}, {stop_fd, POLLIN, 0}};
        if (::poll(fds, 2, -1) < 0 && errno != EINTR) break;
        connection.get_notifs();
        if (!connection.is_open()) break;
      }
      return absl::UnavailableError("the listening connection was closed");
    } catch (...) {
      return StatusFromCurrentException("listen");
    }
  }

  void WaitForStop(absl::Duration duration) {
    pollfd fd = {stop_fd, POLLIN, 0};
    ::poll(&fd, 1, static_cast<int>(absl::ToInt64Milliseconds(duration)));
  }

  const ListenerOptions options;
  const Callback callback;
  Logger& logger;
  const int stop_fd;
  std::atomic<bool> stopping = false;
  std::minstd_rand random{std::random_device{}()};
  std::thread thread;
};

Listener::Listener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() = default;

std::unique_ptr<Listener> Listener::Start(ListenerOptions options, Callback callback,
                                          Logger& logger) {
  return std::unique_ptr<Listener>(
      new Listener(std::make_unique<Impl>(std::move(options), std::move(callback), logger)));
}

}  // namespace crossover::pg
