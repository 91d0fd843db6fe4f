#include "cli/client/interrupts.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <utility>

namespace crossover::cli {
namespace {

// SIGUSR1 wakes the waiting thread when it shall end.
sigset_t Waited() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGUSR1);
  return set;
}

}  // namespace

SignalInterrupts::SignalInterrupts() {
  const sigset_t set = Waited();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] { Wait(); });
}

SignalInterrupts::~SignalInterrupts() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
  Unblock();
}

void SignalInterrupts::SetHandler(std::function<void()> handler) {
  std::lock_guard lock(mutex_);
  handler_ = std::move(handler);
}

void SignalInterrupts::Unblock() {
  const sigset_t set = Waited();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void SignalInterrupts::Wait() {
  const sigset_t set = Waited();
  while (true) {
    int signal = 0;
    sigwait(&set, &signal);
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    if (signal != SIGINT) continue;
    if (handler_) {
      handler_();
    } else {
      // As if nobody had waited: the shell sees a process ended by SIGINT.
      std::signal(SIGINT, SIG_DFL);
      Unblock();
      kill(getpid(), SIGINT);
    }
  }
}

}  // namespace crossover::cli
