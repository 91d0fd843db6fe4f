// A fixed number of threads with a bounded queue.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace crossover::rpc {

// Thread-safe.
class Executor {
 public:
  // At most `queue` tasks wait beside the `threads` that run.
  Executor(int threads, int queue);
  // Runs what is queued, then joins.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // False if the queue is full or the executor is shutting down: the task will not run.
  [[nodiscard]] bool TrySubmit(std::function<void()> task);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::rpc
