#include "services/model_server/transport/running_requests.h"

#include <algorithm>
#include <utility>

#include "common/status/error.h"

namespace crossover::inference {

namespace asio = boost::asio;

RunningRequests::Entry::Entry(std::shared_ptr<RunningRequests> owner)
    : owner_(std::move(owner)), admitted_(owner_->Enter()) {}

RunningRequests::Entry::~Entry() {
  if (generation_ != nullptr) generation_->Cancel();
  if (admitted_) owner_->Leave(generation_.get());
}

void RunningRequests::Entry::Attach(std::shared_ptr<Generation> generation) {
  std::unique_lock lock(mutex_);
  const std::shared_ptr<Generation> former = std::exchange(generation_, generation);
  const bool cancelled = cancelled_;
  lock.unlock();
  owner_->Replace(former.get(), generation.get());
  if (cancelled) generation->Cancel();
}

void RunningRequests::Entry::Cancel() {
  std::unique_lock lock(mutex_);
  cancelled_ = true;
  const std::shared_ptr<Generation> generation = generation_;
  lock.unlock();
  if (generation != nullptr) generation->Cancel();
}

bool RunningRequests::Entry::cancelled() const {
  std::lock_guard lock(mutex_);
  return cancelled_;
}

void RunningRequests::Drain(absl::Duration grace) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  const auto none = [this] { return count_ == 0; };
  if (changed_.wait_for(lock, absl::ToChronoNanoseconds(grace), none)) return;
  cancel_all_ = true;
  for (Generation* generation : generations_) generation->Cancel();
  // Cancelled requests end at the next token; a client that does not read its error is cut off by
  // the server.
  changed_.wait_for(lock, absl::ToChronoNanoseconds(std::min(grace, kCancelTime)), none);
}

bool RunningRequests::Enter() {
  std::lock_guard lock(mutex_);
  if (draining_) return false;
  ++count_;
  return true;
}

void RunningRequests::Replace(Generation* former, Generation* next) {
  std::lock_guard lock(mutex_);
  generations_.erase(former);
  generations_.insert(next);
  if (cancel_all_) next->Cancel();
}

void RunningRequests::Leave(Generation* generation) {
  std::lock_guard lock(mutex_);
  generations_.erase(generation);
  --count_;
  changed_.notify_all();
}

absl::Status RequestDesk::Queue() {
  if (waiting_.fetch_add(1) < queue_) return absl::OkStatus();
  --waiting_;
  return Error(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
               "too many requests are waiting; try again later");
}

http::Task<absl::Status> RequestDesk::Begin(std::shared_ptr<RunningRequests::Entry> entry,
                                            Start start) {
  const absl::Status queued = Queue();
  if (!queued.ok()) co_return queued;
  // The worker attaches, because the coroutine may not come back.
  auto begin = [start = std::move(start), entry]() -> http::Task<absl::Status> {
    if (entry->cancelled()) {
      co_return Error(absl::StatusCode::kCancelled, "CALL_CANCELLED",
                      "the client has gone before its request was begun");
    }
    auto generation = start();
    if (generation.ok()) entry->Attach(*generation);
    co_return generation.status();
  };
  const absl::Status begun =
      co_await asio::co_spawn(workers_, std::move(begin), asio::use_awaitable);
  --waiting_;
  co_return begun;
}

}  // namespace crossover::inference
