// Carries one value from any thread to a coroutine.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace crossover::inference {

// Filled once from any thread; emptied once by a coroutine on `executor`, which must run on a
// single thread.
template <typename T>
class OneShot : public std::enable_shared_from_this<OneShot<T>> {
 public:
  explicit OneShot(boost::asio::any_io_executor executor)
      : executor_(executor), wake_(executor, boost::asio::steady_timer::time_point::max()) {}

  void Put(T value) {
    {
      std::lock_guard lock(mutex_);
      value_ = std::move(value);
    }
    // Runs after the coroutine has looked or begun to wait, never between: both happen in one step
    // on the executor.
    boost::asio::post(executor_, [self = this->shared_from_this()] { self->wake_.cancel(); });
  }

  boost::asio::awaitable<T> Get() {
    for (;;) {
      if (std::optional<T> value = Take()) co_return *std::move(value);
      boost::system::error_code cancelled;
      co_await wake_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, cancelled));
    }
  }

 private:
  std::optional<T> Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(value_, std::nullopt);
  }

  boost::asio::any_io_executor executor_;
  boost::asio::steady_timer wake_;  // Touched on the executor only.
  std::mutex mutex_;
  std::optional<T> value_;
};

}  // namespace crossover::inference
