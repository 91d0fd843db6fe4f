// Ctrl-C as an event, so that watching something can end without ending what is watched.
#pragma once

#include <functional>
#include <mutex>
#include <thread>

namespace crossover::cli {

// Where a handler for Ctrl-C is registered. Thread-safe.
class Interrupts {
 public:
  virtual ~Interrupts() = default;
  // Replaces the handler; nullptr restores the default (the process ends).
  virtual void SetHandler(std::function<void()> handler) = 0;
};

// Registers a handler for its lifetime.
class ScopedInterrupt {
 public:
  ScopedInterrupt(Interrupts& interrupts, std::function<void()> handler) : interrupts_(interrupts) {
    interrupts_.SetHandler(std::move(handler));
  }
  ~ScopedInterrupt() { interrupts_.SetHandler(nullptr); }
  ScopedInterrupt(const ScopedInterrupt&) = delete;
  ScopedInterrupt& operator=(const ScopedInterrupt&) = delete;

 private:
  Interrupts& interrupts_;
};

// SIGINT of this process: blocked in every thread and waited for in one of its own. Make it first
// in main, before other threads.
class SignalInterrupts final : public Interrupts {
 public:
  SignalInterrupts();
  ~SignalInterrupts() override;
  SignalInterrupts(const SignalInterrupts&) = delete;
  SignalInterrupts& operator=(const SignalInterrupts&) = delete;

  void SetHandler(std::function<void()> handler) override;

  // Undoes the blocking in the calling thread: before exec, which would inherit it.
  static void Unblock();

 private:
  void Wait();

  std::mutex mutex_;
  std::function<void()> handler_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace crossover::cli
