#include "services/platform/child.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::platform {

struct Child::Impl {
  Impl(ChildOptions opts, Clock& c, Logger& l, metrics::Registry& registry)
      : options(std::move(opts)),
        clock(c),
        logger(l),
        restart_counter(registry.NewCounter("crossover_platform_child_restarts_total",
                                            "Children that died and were restarted.",
                                            {{"child", options.name}})),
        stop_fd(::eventfd(0, EFD_CLOEXEC)) {}

  ~Impl() { ::close(stop_fd); }

  absl::Status SpawnOnce() {
    ASSIGN_OR_RETURN(SpawnOptions command, options.command());
    command.parent_death_signal = options.death_signal;
    ASSIGN_OR_RETURN(const pid_t child, Spawn(command));
    pid = child;
    started_at = clock.SteadyNow();
    logger.Info("child_started", {{"child", options.name}, {"pid", child}});
    return absl::OkStatus();
  }

  // The supervisor's thread. The first start's outcome goes to `first`.
  void Run(std::promise<absl::Status> first) {
    const absl::Status status = SpawnOnce();
    const bool ok = status.ok();
    first.set_value(status);
    if (!ok) return;
    absl::Duration delay = options.backoff_min;
    for (;;) {
      int wait_status = 0;
      if (pid > 0) {
        const bool asked = !WaitForExit(wait_status);
        pid = 0;
        if (asked) return;
        logger.Warning("child_died", {{"child", options.name},
                                      {"how", DescribeExit(wait_status)},
                                      {"restart_seconds", delay}});
        if (options.on_exit) options.on_exit(wait_status);
        if (clock.SteadyNow() - started_at >= options.healthy_after) delay = options.backoff_min;
      }
      if (StopAskedWithin(delay)) return;
      delay = std::min(delay * 2, options.backoff_max);
      ++restarts;
      restart_counter.Increment();
      if (const absl::Status again = SpawnOnce(); !again.ok()) {
        logger.Error("child_not_started", {{"child", options.name}, {"status", again}});
      }
    }
  }

  // True when the child ended by itself; false when stop was asked for and the child has been ended
  // and reaped.
  bool WaitForExit(int& wait_status) {
    const int pid_fd = static_cast<int>(::syscall(SYS_pidfd_open, pid.load(), 0));
    pollfd fds[] = {{pid_fd, POLLIN, 0}, {stop_fd, POLLIN, 0}};
    while (::poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    const bool stop = (fds[1].revents & POLLIN) != 0;
    if (stop) {
      ::kill(pid, options.stop_signal);
      pollfd only = {pid_fd, POLLIN, 0};
      if (::poll(&only, 1, static_cast<int>(absl::ToInt64Milliseconds(options.stop_timeout))) ==
          0) {
        logger.Warning("child_killed",
                       {{"child", options.name}, {"after_seconds", options.stop_timeout}});
        ::kill(pid, SIGKILL);
      }
    }
    while (::waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
    }
    ::close(pid_fd);
    return !stop;
  }

  bool StopAskedWithin(absl::Duration duration) {
    pollfd fd = {stop_fd, POLLIN, 0};
    return ::poll(&fd, 1, static_cast<int>(absl::ToInt64Milliseconds(duration))) > 0;
  }

  void AskToStop() {
    const uint64_t one = 1;
    while (::write(stop_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
  }

  const ChildOptions options;
  Clock& clock;
  Logger& logger;
  metrics::Counter restart_counter;
  const int stop_fd;
  std::atomic<pid_t> pid = 0;
  std::atomic<int> restarts = 0;
  absl::Duration started_at;
  std::mutex stop_mutex;
  std::thread thread;
};

Child::Child(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Child::~Child() { Stop(); }

absl::StatusOr<std::unique_ptr<Child>> Child::Start(ChildOptions options, Clock& clock,
                                                    Logger& logger, metrics::Registry& registry) {
  std::unique_ptr<Child> child(
      new Child(std::make_unique<Impl>(std::move(options), clock, logger, registry)));
  std::promise<absl::Status> first;
  std::future<absl::Status> outcome = first.get_future();
  child->impl_->thread =
      std::thread([impl = child->impl_.get(), first = std::move(first)]() mutable {
        impl->Run(std::move(first));
      });
  RETURN_IF_ERROR(outcome.get());
  return child;
}

void Child::Stop() {
  std::lock_guard lock(impl_->stop_mutex);
  if (!impl_->thread.joinable()) return;
  impl_->AskToStop();
  impl_->thread.join();
  impl_->logger.Info("child_stopped", {{"child", impl_->options.name}});
}

pid_t Child::pid() const { return impl_->pid; }
int Child::restarts() const { return impl_->restarts; }

}  // namespace crossover::platform
