#include "services/model_server/transport/mailbox.h"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace crossover::inference {

Mailbox::Mailbox(boost::asio::any_io_executor executor)
    : executor_(executor), wake_(executor, boost::asio::steady_timer::time_point::max()) {}

void Mailbox::Put(Letter letter) {
  {
    std::lock_guard lock(mutex_);
    letters_.push_back(std::move(letter));
  }
  // Runs after the coroutine has looked into the box or begun to wait, never between: both happen
  // in one step on the executor.
  boost::asio::post(executor_, [self = shared_from_this()] { self->wake_.cancel(); });
}

bool Mailbox::Take(Letter& letter) {
  std::lock_guard lock(mutex_);
  if (letters_.empty()) return false;
  letter = std::move(letters_.front());
  letters_.pop_front();
  return true;
}

boost::asio::awaitable<Mailbox::Letter> Mailbox::Next() {
  Letter letter;
  while (!Take(letter)) {
    boost::system::error_code cancelled;
    co_await wake_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, cancelled));
  }
  co_return letter;
}

}  // namespace crossover::inference
