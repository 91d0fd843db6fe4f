// The one wrapper around RPC methods of the callback API: authentication, role, deadline, context,
// exceptions, status mapping, metrics and access log. A handler only translates.
//
//   class LeaseServiceImpl final : public pb::LeaseService::CallbackService {
//     grpc::ServerUnaryReactor* Heartbeat(grpc::CallbackServerContext* context, const
//     pb::HeartbeatRequest* request,
//                                         pb::HeartbeatResponse* response) override {
//       return handler_.Unary(context, "Heartbeat", [=, this](const rpc::Call&) -> absl::Status {
//         ASSIGN_OR_RETURN(Lease lease, ParseLeaseToken(request->lease_token()));
//         ASSIGN_OR_RETURN(HeartbeatReply reply, scheduler_.Heartbeat(lease,
//         ToProgress(request->progress()))); *response = ToProto(reply); return absl::OkStatus();
//       });
//     }
//
// - Unary:    the function runs on the handler's executor and may block. Full queue →
// RESOURCE_EXHAUSTED `OVERLOADED`.
// - Deferred: for long polls. The function only registers; `Finisher` ends the call later from any
// thread. No thread waits.
// - Stream:   server streaming. The function gets a `rpc::Stream<T>` handle that may be kept and
// written from any thread
//             (rpc/stream.h). No thread waits.
// - Upload:   client streaming. The function reads messages with a blocking reader (rpc/stream.h).
//
// Functions of streams and uploads have threads of their own: clients that read or send slowly
// never keep unary calls waiting. One that does nothing for `stream_idle_timeout` is ended.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/server_context.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/context/request_context.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/rpc/auth.h"
#include "common/rpc/executor.h"
#include "common/rpc/stream.h"
#include "common/time/clock.h"

namespace crossover::rpc {

struct HandlerOptions {
  std::string
      service;      // full name, "crossover.scheduler.v1.JobService": metrics, logs, role look-up
  int threads = 8;  // of the executor of unary calls
  int stream_threads = 8;  // of the one of streams and uploads, made at the first of them
  int queue = 256;         // of each
  // How long a blocking read or write of a stream waits for its client, then DEADLINE_EXCEEDED.
  absl::Duration stream_idle_timeout = absl::Seconds(60);
  absl::Duration default_deadline = absl::Seconds(30);  // for callers that set none
  // nullptr: everyone is ADMIN (a service that only others of the deployment reach). Borrowed.
  Authenticator* authenticator = nullptr;
};

// One call in progress. Cheap to copy; valid after the call ended.
class Call {
 public:
  Call(RequestContext context, Principal principal, std::shared_ptr<const CancelState> cancel)
      : context_(std::move(context)),
        principal_(std::move(principal)),
        cancel_(std::move(cancel)) {}

  const RequestContext& context() const { return context_; }
  const Principal& principal() const { return principal_; }
  // The client has gone or the deadline has passed.
  bool cancelled() const;

 private:
  RequestContext context_;
  Principal principal_;
  std::shared_ptr<const CancelState> cancel_;
};

// Ends a deferred call. Cheap to copy, thread-safe; the first Finish counts. Keep a copy and finish
// it on cancellation too: a call whose last copy goes away unfinished ends with INTERNAL.
class Finisher {
 public:
  // Fill the response before. Must not be called under a lock that the OnCancel callback takes.
  void Finish(absl::Status status) const;
  bool cancelled() const;
  // Calls `callback` once when the client gives up or the deadline passes (at once if that is so
  // already). The call is not over: Finish it (usually with CancelledError) from there.
  void OnCancel(std::function<void()> callback) const;

  struct State;
  explicit Finisher(std::shared_ptr<State> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<State> state_;
};

// What all calls of one service share. Kept alive by the calls themselves. For handler_inl.h and
// handler.cc.
class HandlerCore {
 public:
  HandlerCore(HandlerOptions options, Clock& clock, Logger& logger, metrics::Registry& registry);

  // Authentication, role, deadline and trace of a call. A streaming call has no default deadline.
  absl::StatusOr<Call> Admit(grpc::CallbackServerContext* context, const char* method,
                             bool streaming, std::shared_ptr<const CancelState> cancel);
  // Counts, times and logs the end of a call and maps its status.
  grpc::Status Conclude(const char* method, absl::Duration started, const absl::Status& status);
  // Runs `task` on an executor with `context` installed. RESOURCE_EXHAUSTED `OVERLOADED` if the
  // queue is full.
  absl::Status Submit(const RequestContext& context, std::function<void()> task);
  absl::Status SubmitStream(const RequestContext& context, std::function<void()> task);
  // Waits for running tasks; later ones are refused.
  void StopExecutor();
  absl::Duration Now() { return clock_.SteadyNow(); }
  absl::Duration stream_idle_timeout() const { return options_.stream_idle_timeout; }
  // DEADLINE_EXCEEDED for a client that let a stream wait so long.
  absl::Status Idle(std::string_view what_to_do) const;

 private:
  absl::Status SubmitTo(std::shared_ptr<Executor> executor, const RequestContext& context,
                        std::function<void()> task);

  HandlerOptions options_;
  Clock& clock_;
  Logger& logger_;
  metrics::CounterFamily requests_;
  metrics::HistogramFamily durations_;
  std::mutex mutex_;
  bool stopped_ = false;
  std::shared_ptr<Executor> executor_;
  std::shared_ptr<Executor> stream_executor_;
};

// One per gRPC service. Thread-safe. Borrows clock, logger, registry. The destructor waits for
// functions that still run.
class Handler {
 public:
  using UnaryFn = std::function<absl::Status(const Call&)>;

  Handler(HandlerOptions options, Clock& clock, Logger& logger, metrics::Registry& registry);
  ~Handler();
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const char* method,
                                  UnaryFn fn);

  // `fn` runs on the executor and may finish at once, or keep the finisher. Request and response
  // live until Finish.
  grpc::ServerUnaryReactor* Deferred(grpc::CallbackServerContext* context, const char* method,
                                     std::function<void(const Call&, Finisher)> fn);

  // `fn` runs on the executor; returning does not end the stream, Stream::Finish does (or its last
  // handle going away: INTERNAL).
  template <typename T>
  grpc::ServerWriteReactor<T>* ServerStream(grpc::CallbackServerContext* context,
                                            const char* method,
                                            std::function<void(const Call&, Stream<T>)> fn);

  // `fn` runs on the executor and returns the call's status; fill the response before returning.
  template <typename T>
  grpc::ServerReadReactor<T>* Upload(grpc::CallbackServerContext* context, const char* method,
                                     std::function<absl::Status(const Call&, UploadReader<T>&)> fn);

 private:
  std::shared_ptr<HandlerCore> core_;
};

// Runs `fn`; an exception becomes INTERNAL `UNHANDLED_EXCEPTION` with its text.
absl::Status RunGuarded(const std::function<absl::Status()>& fn);

}  // namespace crossover::rpc

#include "common/rpc/handler_inl.h"  // IWYU pragma: export
