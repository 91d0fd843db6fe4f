// The HTTP requests under way, and the threads that begin them.
#pragma once

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/http/async.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {

// From a request's first byte to the end of its coroutine. Thread-safe.
class RunningRequests : public std::enable_shared_from_this<RunningRequests> {
 public:
  // Shared by the coroutine, the worker that begins its generation, and the watch on its client.
  // Keeps the owner alive: a coroutine that the server cut off is destroyed with the server, after
  // everything else. Thread-safe.
  class Entry {
   public:
    explicit Entry(std::shared_ptr<RunningRequests> owner);
    // Cancels what was attached: whatever ends a coroutine, no slot stays taken. A request that has
    // ended ignores it.
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    // False while the server drains.
    bool admitted() const { return admitted_; }
    // What is under way for the request now; it takes the place of what was before.
    void Attach(std::shared_ptr<Generation> generation);
    // The client is gone.
    void Cancel();
    bool cancelled() const;

   private:
    const std::shared_ptr<RunningRequests> owner_;
    const bool admitted_;
    mutable std::mutex mutex_;
    bool cancelled_ = false;
    std::shared_ptr<Generation> generation_;
  };

  // Refuses new ones, waits `grace` for those there are, then cancels them and waits 5 s more.
  void Drain(absl::Duration grace);

 private:
  static constexpr absl::Duration kCancelTime = absl::Seconds(5);

  bool Enter();
  void Replace(Generation* former, Generation* next);
  void Leave(Generation* generation);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool draining_ = false;
  bool cancel_all_ = false;
  int count_ = 0;
  std::set<Generation*> generations_;
};

// What a start that waits for a model asks from time to time.
inline Patience PatienceOf(std::shared_ptr<const RunningRequests::Entry> entry) {
  return {.gone = [entry = std::move(entry)] { return entry->cancelled(); }};
}

// Threads that find models and read prompts, which may block, and a bound on who waits for them.
class RequestDesk {
 public:
  using Start = std::function<absl::StatusOr<std::shared_ptr<Generation>>()>;

  RequestDesk(int threads, int queue) : queue_(queue), workers_(static_cast<size_t>(threads)) {}
  ~RequestDesk() { workers_.join(); }

  // Runs `start` on a worker and attaches what it returns. RESOURCE_EXHAUSTED `QUEUE_FULL`;
  // CANCELLED if the client has gone before there was a worker.
  http::Task<absl::Status> Begin(std::shared_ptr<RunningRequests::Entry> entry, Start start);

  // What `read` makes of a request, on a worker. Borrows nothing of its coroutine, which may not
  // come back. RESOURCE_EXHAUSTED `QUEUE_FULL`.
  template <typename T>
  http::Task<absl::StatusOr<T>> Read(std::function<absl::StatusOr<T>()> read) {
    const absl::Status queued = Queue();
    if (!queued.ok()) co_return queued;
    auto work = [read = std::move(read)]() -> http::Task<absl::StatusOr<T>> { co_return read(); };
    absl::StatusOr<T> result =
        co_await boost::asio::co_spawn(workers_, std::move(work), boost::asio::use_awaitable);
    --waiting_;
    co_return result;
  }

 private:
  // Counts one more that waits.
  absl::Status Queue();

  const int queue_;
  std::atomic<int> waiting_{0};
  boost::asio::thread_pool workers_;
};

}  // namespace crossover::inference
