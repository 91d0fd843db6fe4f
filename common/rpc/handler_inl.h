// The templates of common/rpc/handler.h. Include that.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "common/rpc/handler.h"

namespace crossover::rpc {

// One server-streaming call. gRPC owns it (self_) until OnDone; handles share it through
// StreamFacade. gRPC's functions are called outside the mutex, because their callbacks may run
// inline.
template <typename T>
class StreamReactor final : public grpc::ServerWriteReactor<T> {
 public:
  StreamReactor(std::shared_ptr<HandlerCore> core, grpc::CallbackServerContext* context,
                const char* method)
      : core_(std::move(core)), context_(context), method_(method), started_(core_->Now()) {}

  void KeepUntilDone(std::shared_ptr<StreamReactor> self) { self_ = std::move(self); }
  const std::shared_ptr<CancelState>& cancel() const { return cancel_; }

  bool Write(T message, size_t max_pending, bool block) {
    std::unique_lock lock(mutex_);
    const auto has_room = [&] { return over_ || queue_.size() < max_pending; };
    const bool idle =
        block &&
        !room_.wait_for(lock, absl::ToChronoNanoseconds(core_->stream_idle_timeout()), has_room);
    if (idle) {
      Break();
      idle_ = true;
      lock.unlock();
      context_->TryCancel();  // ends the write that is stuck
      return false;
    }
    if (over_ || !has_room()) return false;
    queue_.push_back(std::move(message));
    Step(lock);
    return true;
  }

  void FinishCall(absl::Status status) {
    std::unique_lock lock(mutex_);
    if (finish_requested_) return;
    finish_requested_ = true;
    over_ = true;
    status_ =
        idle_ ? core_->Idle("it reads too slowly; read on, or call again") : std::move(status);
    room_.notify_all();
    Step(lock);
  }

  size_t pending() const {
    std::lock_guard lock(mutex_);
    return queue_.size() + (writing_ ? 1 : 0);
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    writing_ = false;
    if (!ok) Break();
    room_.notify_all();
    Step(lock);
  }

  void OnCancel() override {
    {
      std::lock_guard lock(mutex_);
      Break();
      room_.notify_all();
    }
    cancel_->Cancel();
  }

  void OnDone() override {
    cancel_->Close();
    self_.reset();  // may delete this
  }

 private:
  void Break() {
    over_ = true;
    queue_.clear();
  }

  // Starts the next write or the end of the call, if nothing is in flight. Releases the lock.
  void Step(std::unique_lock<std::mutex>& lock) {
    if (writing_ || finished_) return;
    if (!queue_.empty()) {
      current_ = std::move(queue_.front());
      queue_.pop_front();
      writing_ = true;
      lock.unlock();
      this->StartWrite(&current_);
      return;
    }
    if (!finish_requested_) return;
    finished_ = true;
    const grpc::Status out = core_->Conclude(method_, started_, status_);
    lock.unlock();
    this->Finish(out);
  }

  const std::shared_ptr<HandlerCore> core_;
  grpc::CallbackServerContext* const context_;  // gRPC's, until OnDone
  const char* const method_;
  const absl::Duration started_;
  const std::shared_ptr<CancelState> cancel_ = std::make_shared<CancelState>();
  std::shared_ptr<StreamReactor> self_;

  mutable std::mutex mutex_;
  std::condition_variable room_;
  std::deque<T> queue_;
  T current_;
  bool writing_ = false;
  bool over_ = false;
  bool idle_ = false;  // the client took nothing for too long
  bool finish_requested_ = false;
  bool finished_ = false;
  absl::Status status_;
};

// What handles share; its end without a Finish ends the call.
template <typename T>
class StreamFacade final : public StreamCore<T> {
 public:
  explicit StreamFacade(std::shared_ptr<StreamReactor<T>> reactor) : reactor_(std::move(reactor)) {}
  ~StreamFacade() override {
    reactor_->FinishCall(
        absl::InternalError("the handler dropped the stream without finishing it"));
  }
  bool Write(T message, size_t max_pending, bool block) override {
    return reactor_->Write(std::move(message), max_pending, block);
  }
  void Finish(absl::Status status) override { reactor_->FinishCall(std::move(status)); }
  size_t pending() const override { return reactor_->pending(); }
  std::shared_ptr<CancelState> cancel() const override { return reactor_->cancel(); }

 private:
  std::shared_ptr<StreamReactor<T>> reactor_;
};

template <typename T>
grpc::ServerWriteReactor<T>* Handler::ServerStream(grpc::CallbackServerContext* context,
                                                   const char* method,
                                                   std::function<void(const Call&, Stream<T>)> fn) {
  auto reactor = std::make_shared<StreamReactor<T>>(core_, context, method);
  reactor->KeepUntilDone(reactor);
  grpc::ServerWriteReactor<T>* const out = reactor.get();
  absl::StatusOr<Call> call = core_->Admit(context, method, /*streaming=*/true, reactor->cancel());
  if (!call.ok()) {
    reactor->FinishCall(call.status());
    return out;
  }
  Stream<T> stream(std::make_shared<StreamFacade<T>>(reactor));
  const absl::Status submitted =
      core_->SubmitStream(call->context(), [call = *call, stream, fn = std::move(fn)] {
        const absl::Status status = RunGuarded([&] {
          fn(call, stream);
          return absl::OkStatus();
        });
        if (!status.ok()) stream.Finish(status);
      });
  if (!submitted.ok()) stream.Finish(submitted);
  return out;
}

// One client-streaming call whose messages a thread of the executor pulls.
template <typename T>
class UploadReactor final : public grpc::ServerReadReactor<T>, public UploadReader<T> {
 public:
  UploadReactor(std::shared_ptr<HandlerCore> core, const char* method)
      : core_(std::move(core)), method_(method), started_(core_->Now()) {}

  void KeepUntilDone(std::shared_ptr<UploadReactor> self) { self_ = std::move(self); }
  const std::shared_ptr<CancelState>& cancel_state() const { return cancel_; }

  bool Read(T* message) override {
    {
      std::lock_guard lock(mutex_);
      if (ended_) return false;
      arrived_ = false;
    }
    this->StartRead(&incoming_);
    std::unique_lock lock(mutex_);
    idle_ = !ready_.wait_for(lock, absl::ToChronoNanoseconds(core_->stream_idle_timeout()),
                             [this] { return arrived_; });
    if (idle_) ended_ = true;  // the read itself ends with the call
    if (ended_) return false;
    *message = std::move(incoming_);
    return true;
  }
  bool cancelled() const override { return cancel_->cancelled(); }

  void FinishCall(absl::Status status) {
    {
      std::lock_guard lock(mutex_);
      if (idle_) status = core_->Idle("go on with the upload where it stopped");
    }
    this->Finish(core_->Conclude(method_, started_, status));
  }

  void OnReadDone(bool ok) override {
    std::lock_guard lock(mutex_);
    ended_ = ended_ || !ok;
    arrived_ = true;
    ready_.notify_all();
  }
  void OnCancel() override { cancel_->Cancel(); }
  void OnDone() override {
    cancel_->Close();
    self_.reset();  // may delete this
  }

 private:
  const std::shared_ptr<HandlerCore> core_;
  const char* const method_;
  const absl::Duration started_;
  const std::shared_ptr<CancelState> cancel_ = std::make_shared<CancelState>();
  std::shared_ptr<UploadReactor> self_;

  std::mutex mutex_;
  std::condition_variable ready_;
  T incoming_;  // of the read in progress, which may outlive the function
  bool arrived_ = false;
  bool ended_ = false;
  bool idle_ = false;  // the client sent nothing for too long
};

template <typename T>
grpc::ServerReadReactor<T>* Handler::Upload(
    grpc::CallbackServerContext* context, const char* method,
    std::function<absl::Status(const Call&, UploadReader<T>&)> fn) {
  auto reactor = std::make_shared<UploadReactor<T>>(core_, method);
  reactor->KeepUntilDone(reactor);
  grpc::ServerReadReactor<T>* const out = reactor.get();
  absl::StatusOr<Call> call =
      core_->Admit(context, method, /*streaming=*/true, reactor->cancel_state());
  if (!call.ok()) {
    reactor->FinishCall(call.status());
    return out;
  }
  const absl::Status submitted =
      core_->SubmitStream(call->context(), [call = *call, reactor, fn = std::move(fn)] {
        reactor->FinishCall(RunGuarded([&] { return fn(call, *reactor); }));
      });
  if (!submitted.ok()) reactor->FinishCall(submitted);
  return out;
}

}  // namespace crossover::rpc
