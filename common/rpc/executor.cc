#include "common/rpc/executor.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace crossover::rpc {

struct Executor::Impl {
  void Run() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [this] { return stopping || !tasks.empty(); });
      if (tasks.empty()) return;
      std::function<void()> task = std::move(tasks.front());
      tasks.pop_front();
      ++busy;
      lock.unlock();
      task();
      task = nullptr;  // what it captured may be large or locked by others
      lock.lock();
      --busy;
    }
  }

  int queue_limit = 0;
  int busy = 0;
  bool stopping = false;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::function<void()>> tasks;
  std::vector<std::thread> threads;
};

Executor::Executor(int threads, int queue) : impl_(std::make_unique<Impl>()) {
  impl_->queue_limit = threads + queue;
  for (int i = 0; i < threads; ++i) {
    impl_->threads.emplace_back([impl = impl_.get()] { impl->Run(); });
  }
}

Executor::~Executor() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  for (std::thread& thread : impl_->threads) thread.join();
}

bool Executor::TrySubmit(std::function<void()> task) {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->stopping) return false;
    if (impl_->busy + static_cast<int>(impl_->tasks.size()) >= impl_->queue_limit) return false;
    impl_->tasks.push_back(std::move(task));
  }
  impl_->wake.notify_one();
  return true;
}

}  // namespace crossover::rpc
