#include "common/rpc/handler.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/id/random.h"
#include "common/rpc/error_mapper.h"
#include "common/rpc/metadata.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::rpc {
namespace {

// "00-<32 hex>-<16 hex>-<2 hex>" (W3C Trace Context §3.2); anything else starts a new trace.
bool IsTraceparent(std::string_view text) {
  if (text.size() != 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  return text.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
}

// Time left until the caller's deadline, which gRPC gives as wall-clock time.
absl::Duration TimeLeft(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteDuration();
  return absl::FromChrono(deadline) - SystemClock().Now();
}

}  // namespace

bool CancelState::cancelled() const {
  std::lock_guard lock(mutex_);
  return cancelled_;
}

void CancelState::OnCancel(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    if (!cancelled_) {
      callbacks_.push_back(std::move(callback));
      return;
    }
  }
  callback();
}

void CancelState::Cancel() {
  std::vector<std::function<void()>> callbacks;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    cancelled_ = true;
    callbacks.swap(callbacks_);
  }
  for (const auto& callback : callbacks) callback();
}

void CancelState::Close() {
  std::vector<std::function<void()>> dropped;  // what they captured is destroyed outside the lock
  std::lock_guard lock(mutex_);
  closed_ = true;
  dropped.swap(callbacks_);
}

bool Call::cancelled() const { return cancel_->cancelled(); }

absl::Status RunGuarded(const std::function<absl::Status()>& fn) {
  try {
    return fn();
  } catch (const std::exception& e) {
    return Error(absl::StatusCode::kInternal, "UNHANDLED_EXCEPTION",
                 std::string("unhandled exception: ") + e.what());
  } catch (...) {
    return Error(absl::StatusCode::kInternal, "UNHANDLED_EXCEPTION",
                 "unhandled exception of unknown type");
  }
}

HandlerCore::HandlerCore(HandlerOptions options, Clock& clock, Logger& logger,
                         metrics::Registry& registry)
    : options_(std::move(options)),
      clock_(clock),
      logger_(logger),
      requests_(
          registry.NewCounterFamily("crossover_rpc_requests_total", "Calls that ended, by code.")),
      durations_(registry.NewHistogramFamily("crossover_rpc_duration_seconds",
                                             "Time from arrival to end of a call.")),
      executor_(std::make_shared<Executor>(options_.threads, options_.queue)) {}

absl::StatusOr<Call> HandlerCore::Admit(grpc::CallbackServerContext* context, const char* method,
                                        bool streaming, std::shared_ptr<const CancelState> cancel) {
  const std::string full_method = absl::StrCat(options_.service, "/", method);
  const MethodAccess access = AccessOf(full_method);
  Principal principal{.name = "trusted", .role = Role::kAdmin};
  if (options_.authenticator != nullptr) {
    ASSIGN_OR_RETURN(principal, options_.authenticator->Authenticate(
                                    MetadataOf(*context, "authorization"), context->peer()));
  }
  if (!Allows(access, principal.role)) {
    return Error(
        absl::StatusCode::kPermissionDenied, "ROLE_INSUFFICIENT",
        absl::StrCat(principal.name, " may not call ", full_method, ": its role is too low"));
  }
  RequestContext request;
  absl::Duration left = TimeLeft(*context);
  if (left == absl::InfiniteDuration() && !streaming) left = options_.default_deadline;
  request.deadline = left == absl::InfiniteDuration() ? left : clock_.SteadyNow() + left;
  request.traceparent = MetadataOf(*context, "traceparent");
  if (!IsTraceparent(request.traceparent)) {
    request.traceparent =
        absl::StrCat("00-", SystemRandom().Hex(16), "-", SystemRandom().Hex(8), "-01");
  }
  request.trace_id = request.traceparent.substr(3, 32);
  request.project = principal.project;
  request.caller = principal.name;
  return Call(std::move(request), std::move(principal), std::move(cancel));
}

grpc::Status HandlerCore::Conclude(const char* method, absl::Duration started,
                                   const absl::Status& status) {
  const absl::Duration took = clock_.SteadyNow() - started;
  const std::string code(ToStd(absl::StatusCodeToString(status.code())));
  requests_.With({{"service", options_.service}, {"method", method}, {"code", code}}).Increment();
  durations_.With({{"service", options_.service}, {"method", method}})
      .Observe(absl::ToDoubleSeconds(took));
  const bool our_fault = status.code() == absl::StatusCode::kInternal ||
                         status.code() == absl::StatusCode::kUnknown ||
                         status.code() == absl::StatusCode::kDataLoss;
  logger_.Write(our_fault ? LogLevel::kError : LogLevel::kInfo, "rpc",
                {{"rpc_service", options_.service},
                 {"method", method},
                 {"status", status},
                 {"seconds", took}});
  return ToGrpc(status);
}

absl::Status HandlerCore::Submit(const RequestContext& context, std::function<void()> task) {
  std::shared_ptr<Executor> executor;
  {
    std::lock_guard lock(mutex_);
    executor = executor_;
  }
  return SubmitTo(std::move(executor), context, std::move(task));
}

absl::Status HandlerCore::SubmitStream(const RequestContext& context, std::function<void()> task) {
  std::shared_ptr<Executor> executor;
  {
    std::lock_guard lock(mutex_);
    if (stream_executor_ == nullptr && !stopped_)
      stream_executor_ = std::make_shared<Executor>(options_.stream_threads, options_.queue);
    executor = stream_executor_;
  }
  return SubmitTo(std::move(executor), context, std::move(task));
}

absl::Status HandlerCore::Idle(std::string_view what_to_do) const {
  return Error(
      absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
      absl::StrCat("the client did nothing for ",
                   absl::FormatDuration(options_.stream_idle_timeout), ": ", ToAbsl(what_to_do)));
}

absl::Status HandlerCore::SubmitTo(std::shared_ptr<Executor> executor,
                                   const RequestContext& context, std::function<void()> task) {
  if (executor == nullptr) {
    return Error(absl::StatusCode::kUnavailable, "SHUTTING_DOWN", "the server is shutting down");
  }
  const bool taken = executor->TrySubmit([context, task = std::move(task)] {
    ScopedContext scope(context);
    task();
  });
  if (taken) return absl::OkStatus();
  return Error(absl::StatusCode::kResourceExhausted, "OVERLOADED",
               absl::StrCat(options_.service, " has ", options_.queue,
                            " calls waiting already; try again later"));
}

void HandlerCore::StopExecutor() {
  std::shared_ptr<Executor> executor;
  std::shared_ptr<Executor> stream_executor;
  std::lock_guard lock(mutex_);
  stopped_ = true;
  executor.swap(executor_);
  stream_executor.swap(stream_executor_);
  // Joined when the last reference goes, which is here but for a Submit in progress.
}

namespace {

// One unary call; gRPC and the finishers share it.
class UnaryReactor final : public grpc::ServerUnaryReactor {
 public:
  UnaryReactor(std::shared_ptr<HandlerCore> core, const char* method)
      : core_(std::move(core)), method_(method), started_(core_->Now()) {}

  void KeepUntilDone(std::shared_ptr<UnaryReactor> self) { self_ = std::move(self); }
  const std::shared_ptr<CancelState>& cancel() const { return cancel_; }

  void FinishCall(const absl::Status& status) {
    if (finished_.exchange(true)) return;
    Finish(core_->Conclude(method_, started_, status));
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
  std::shared_ptr<UnaryReactor> self_;
  std::atomic<bool> finished_ = false;
};

}  // namespace

struct Finisher::State {
  explicit State(std::shared_ptr<UnaryReactor> r) : reactor(std::move(r)) {}
  ~State() {
    reactor->FinishCall(absl::InternalError("the handler dropped the call without finishing it"));
  }
  std::shared_ptr<UnaryReactor> reactor;
};

void Finisher::Finish(absl::Status status) const { state_->reactor->FinishCall(status); }
bool Finisher::cancelled() const { return state_->reactor->cancel()->cancelled(); }
void Finisher::OnCancel(std::function<void()> callback) const {
  state_->reactor->cancel()->OnCancel(std::move(callback));
}

Handler::Handler(HandlerOptions options, Clock& clock, Logger& logger, metrics::Registry& registry)
    : core_(std::make_shared<HandlerCore>(std::move(options), clock, logger, registry)) {}

Handler::~Handler() { core_->StopExecutor(); }

grpc::ServerUnaryReactor* Handler::Deferred(grpc::CallbackServerContext* context,
                                            const char* method,
                                            std::function<void(const Call&, Finisher)> fn) {
  auto reactor = std::make_shared<UnaryReactor>(core_, method);
  reactor->KeepUntilDone(reactor);
  grpc::ServerUnaryReactor* const out = reactor.get();
  absl::StatusOr<Call> call = core_->Admit(context, method, /*streaming=*/false, reactor->cancel());
  if (!call.ok()) {
    reactor->FinishCall(call.status());
    return out;
  }
  Finisher finisher(std::make_shared<Finisher::State>(reactor));
  const absl::Status submitted =
      core_->Submit(call->context(), [call = *call, finisher, fn = std::move(fn)] {
        const absl::Status status = RunGuarded([&] {
          fn(call, finisher);
          return absl::OkStatus();
        });
        if (!status.ok()) finisher.Finish(status);
      });
  if (!submitted.ok()) finisher.Finish(submitted);
  return out;
}

grpc::ServerUnaryReactor* Handler::Unary(grpc::CallbackServerContext* context, const char* method,
                                         UnaryFn fn) {
  return Deferred(
      context, method, [fn = std::move(fn)](const Call& call, const Finisher& finisher) {
        if (call.cancelled()) {  // it waited too long in the queue: nobody listens any more
          finisher.Finish(Error(absl::StatusCode::kCancelled, "CANCELLED", "the caller gave up"));
          return;
        }
        finisher.Finish(RunGuarded([&] { return fn(call); }));
      });
}

}  // namespace crossover::rpc
