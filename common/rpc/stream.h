// Handles for streaming calls, used with rpc::Handler.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace crossover::rpc {

// Whether a call was cancelled, and who wants to know. Thread-safe.
class CancelState {
 public:
  bool cancelled() const;
  // At once if cancelled already; else once, from a gRPC thread. Callbacks that were added before
  // the call ended but never fired are dropped.
  void OnCancel(std::function<void()> callback);
  void Cancel();  // by the wrapper
  void Close();   // by the wrapper: the call is over, drop callbacks

 private:
  mutable std::mutex mutex_;
  bool cancelled_ = false;
  bool closed_ = false;
  std::vector<std::function<void()>> callbacks_;
};

// The implementation behind Stream<T>; made by Handler.
template <typename T>
class StreamCore {
 public:
  virtual ~StreamCore() = default;
  virtual bool Write(T message, size_t max_pending, bool block) = 0;
  virtual void Finish(absl::Status status) = 0;
  virtual size_t pending() const = 0;
  virtual std::shared_ptr<CancelState> cancel() const = 0;
};

// The server's end of a server-streaming call. Cheap to copy, thread-safe. A parked stream costs no
// thread.
template <typename T>
class Stream {
 public:
  explicit Stream(std::shared_ptr<StreamCore<T>> core) : core_(std::move(core)) {}

  // Queues a message. False if the stream is over (cancelled or finished) or `max_pending` messages
  // are already waiting for a slow reader: the message was not taken.
  bool Write(T message, size_t max_pending = 1024) const {
    return core_->Write(std::move(message), max_pending, false);
  }
  // Waits until fewer than `max_pending` messages wait: backpressure for producers with a thread of
  // their own. False if the stream is over; a client that takes nothing for the handler's
  // stream_idle_timeout ends it.
  bool WriteBlocking(T message, size_t max_pending = 16) const {
    return core_->Write(std::move(message), max_pending, true);
  }
  // Ends the call after the queued messages; the first Finish counts.
  void Finish(absl::Status status) const { core_->Finish(std::move(status)); }

  bool cancelled() const { return core_->cancel()->cancelled(); }
  // Calls `callback` once when the client gives up or the deadline passes. The stream must still be
  // finished.
  void OnCancel(std::function<void()> callback) const {
    core_->cancel()->OnCancel(std::move(callback));
  }
  size_t pending() const { return core_->pending(); }

 private:
  std::shared_ptr<StreamCore<T>> core_;
};

// The server's end of a client-streaming call; used by the handler function's thread.
template <typename T>
class UploadReader {
 public:
  virtual ~UploadReader() = default;
  // Blocks for the next message. False at the end of the stream, when the client gave up (see
  // cancelled()), or when it sent nothing for the handler's stream_idle_timeout: the call then ends
  // with DEADLINE_EXCEEDED, whatever the function returns.
  virtual bool Read(T* message) = 0;
  virtual bool cancelled() const = 0;
};

}  // namespace crossover::rpc
