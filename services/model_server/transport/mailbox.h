// Carries an answer from the engine's thread to a coroutine.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <mutex>
#include <variant>

#include "services/model_server/domain/inference.h"

namespace crossover::inference {

// Filled from any thread; emptied by one coroutine on `executor`, which must run on a single
// thread.
class Mailbox final : public AnswerSink, public std::enable_shared_from_this<Mailbox> {
 public:
  using Letter = std::variant<AnswerPiece, absl::StatusOr<AnswerSummary>>;

  explicit Mailbox(boost::asio::any_io_executor executor);

  void OnStart(const AnswerStart& start) override { start_ = start; }
  void OnPiece(AnswerPiece piece) override { Put(std::move(piece)); }
  void OnDone(absl::StatusOr<AnswerSummary> summary) override { Put(std::move(summary)); }

  // Valid once the request was accepted.
  const AnswerStart& start() const { return start_; }

  // The next letter; the one with the summary is the last.
  boost::asio::awaitable<Letter> Next();

 private:
  void Put(Letter letter);
  bool Take(Letter& letter);

  boost::asio::any_io_executor executor_;
  boost::asio::steady_timer wake_;  // Touched on the executor only.
  AnswerStart start_;
  std::mutex mutex_;
  std::deque<Letter> letters_;
};

}  // namespace crossover::inference
