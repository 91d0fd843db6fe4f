#include "services/training_scheduler/transport/lease_service.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/names.h"
#include "services/training_scheduler/transport/check_lease.h"
#include "services/training_scheduler/transport/convert.h"
#include "services/training_scheduler/transport/convert_usage.h"
#include "services/training_scheduler/transport/enums.h"

namespace crossover::scheduler {
namespace {

constexpr absl::Duration kMaxWait = absl::Seconds(60);

// A parked LeaseJob call.
class ParkedCall final : public LeaseCaller {
 public:
  ParkedCall(rpc::Finisher finisher, v1::LeaseJobResponse* response, const LeaseOptions& options)
      : finisher_(std::move(finisher)), response_(response), options_(options) {}

  bool Gone() override { return finisher_.cancelled(); }

  bool Take(Result result) override {
    {
      absl::MutexLock lock(&mutex_);
      if (done_ || finisher_.cancelled()) return false;
      done_ = true;
      if (result.ok() && result->has_value()) *response_ = ToProto(**result, options_);
    }
    finisher_.Finish(result.status());
    return true;
  }

  void GiveUp() {
    {
      absl::MutexLock lock(&mutex_);
      if (done_) return;
      done_ = true;
    }
    finisher_.Finish(absl::CancelledError("the worker stopped waiting"));
  }

 private:
  const rpc::Finisher finisher_;
  v1::LeaseJobResponse* const response_;
  const LeaseOptions options_;
  absl::Mutex mutex_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
};

template <typename Request>
absl::StatusOr<LeaseToken> TokenOf(const Request& request) {
  absl::StatusOr<JobName> name = ParseJobName("job", request.job());
  if (!name.ok()) return name.status();
  return LeaseToken{name->job, request.epoch(), request.token()};
}

std::optional<ReleaseReason> ReasonOf(v1::ReleaseLeaseRequest::Reason reason) {
  switch (reason) {
    case v1::ReleaseLeaseRequest::DRAIN:
      return ReleaseReason::kDrain;
    case v1::ReleaseLeaseRequest::PREEMPTED:
      return ReleaseReason::kPreempted;
    case v1::ReleaseLeaseRequest::PAUSED:
      return ReleaseReason::kPaused;
    case v1::ReleaseLeaseRequest::CANCELLED:
      return ReleaseReason::kCancelled;
    case v1::ReleaseLeaseRequest::CRASHED:
      return ReleaseReason::kCrashed;
    default:
      return std::nullopt;
  }
}

v1::HeartbeatResponse::Directive DirectiveToProto(Directive directive) {
  switch (directive) {
    case Directive::kContinue:
      return v1::HeartbeatResponse::CONTINUE;
    case Directive::kCheckpoint:
      return v1::HeartbeatResponse::CHECKPOINT;
    case Directive::kPause:
      return v1::HeartbeatResponse::PAUSE;
    case Directive::kCancel:
      return v1::HeartbeatResponse::CANCEL;
    case Directive::kRelease:
      return v1::HeartbeatResponse::RELEASE;
  }
  return v1::HeartbeatResponse::DIRECTIVE_UNSPECIFIED;
}

}  // namespace

void LeaseServiceImpl::DropWrong(const std::string& who, std::optional<WorkerUsage>& usage) {
  if (!usage.has_value()) return;
  const std::vector<std::string> wrong = DropBadUsage(*usage);
  if (wrong.empty()) return;
  logger_.Warning("usage_wrong", {{"who", who}, {"what", absl::StrJoin(wrong, "; ")}});
}

grpc::ServerUnaryReactor* LeaseServiceImpl::LeaseJob(grpc::CallbackServerContext* context,
                                                     const v1::LeaseJobRequest* request,
                                                     v1::LeaseJobResponse* response) {
  return handler_.Deferred(
      context, "LeaseJob", [=, this](const rpc::Call&, rpc::Finisher finisher) {
        const absl::Status fields = CheckRequest(*request);
        if (!fields.ok()) return finisher.Finish(fields);
        LeaseRequest wanted = FromProto(*request);
        DropWrong(request->worker(), wanted.usage);
        wanted.project = CallersProject();
        const absl::Duration wait = std::min(scheduler::FromProto(request->wait()), kMaxWait);
        auto call = std::make_shared<ParkedCall>(finisher, response, leasing_.options());
        queue_.Lease(wanted, wait, call);
        // After the call is parked: when it was answered at once, there is nothing to give up.
        finisher.OnCancel([weak = std::weak_ptr(call)] {
          if (auto parked = weak.lock()) parked->GiveUp();
        });
        wake_queue_();
      });
}

grpc::ServerUnaryReactor* LeaseServiceImpl::Heartbeat(grpc::CallbackServerContext* context,
                                                      const v1::HeartbeatRequest* request,
                                                      v1::HeartbeatResponse* response) {
  return handler_.Unary(context, "Heartbeat", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(CheckRequest(*request));
    ASSIGN_OR_RETURN(LeaseToken token, TokenOf(*request));
    scheduler::Heartbeat beat = FromProto(*request);
    DropWrong(request->job(), beat.usage);
    ASSIGN_OR_RETURN(HeartbeatReply reply, leasing_.Heartbeat(token, beat));
    response->set_directive(DirectiveToProto(reply.directive));
    *response->mutable_ttl() = scheduler::ToProto(reply.ttl);
    response->set_accepted_seq(reply.accepted_seq);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* LeaseServiceImpl::RecordCheckpoint(
    grpc::CallbackServerContext* context, const v1::RecordCheckpointRequest* request,
    v1::RecordCheckpointResponse* response) {
  return handler_.Unary(context, "RecordCheckpoint", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(CheckRequest(*request));
    ASSIGN_OR_RETURN(LeaseToken token, TokenOf(*request));
    Checkpoint checkpoint;
    checkpoint.step = request->step();
    checkpoint.digest = request->digest();
    checkpoint.adapter_digest = request->adapter_digest();
    checkpoint.metrics = scheduler::FromProto(request->metrics()).values;
    ASSIGN_OR_RETURN(RecordedCheckpoint recorded, leasing_.RecordCheckpoint(token, checkpoint));
    checkpoint.epoch = token.epoch;
    *response->mutable_checkpoint() = scheduler::ToProto(checkpoint, recorded.job);
    response->mutable_released_digests()->Add(recorded.released.begin(), recorded.released.end());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* LeaseServiceImpl::CompleteJob(grpc::CallbackServerContext* context,
                                                        const v1::CompleteJobRequest* request,
                                                        v1::CompleteJobResponse* response) {
  return handler_.Unary(context, "CompleteJob", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(CheckRequest(*request));
    ASSIGN_OR_RETURN(LeaseToken token, TokenOf(*request));
    if (request->outcome_case() == v1::CompleteJobRequest::OUTCOME_NOT_SET) {
      return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                   "outcome is required: success or failure");
    }
    ASSIGN_OR_RETURN(Job job, leasing_.Complete(token, FromProto(*request)));
    *response->mutable_job() = scheduler::ToProto(job);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* LeaseServiceImpl::ReleaseLease(grpc::CallbackServerContext* context,
                                                         const v1::ReleaseLeaseRequest* request,
                                                         v1::ReleaseLeaseResponse* response) {
  return handler_.Unary(context, "ReleaseLease", [=, this](const rpc::Call&) -> absl::Status {
    const std::optional<ReleaseReason> reason = ReasonOf(request->reason());
    if (!reason.has_value()) {
      return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED", "reason is required");
    }
    if (*reason == ReleaseReason::kDrain && request->job().empty() && !request->worker().empty() &&
        !request->incarnation().empty()) {
      return leasing_.Left(ParseWorker(request->worker()), request->incarnation(),
                           CallersProject());
    }
    if (*reason == ReleaseReason::kCrashed && request->token().empty()) {
      ASSIGN_OR_RETURN(std::optional<Job> job,
                       leasing_.Crashed(ParseWorker(request->worker()), request->incarnation(),
                                        request->message(), CallersProject()));
      if (job.has_value()) *response->mutable_job() = scheduler::ToProto(*job);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(LeaseToken token, TokenOf(*request));
    ASSIGN_OR_RETURN(Job job, leasing_.Release(token, *reason, request->message()));
    *response->mutable_job() = scheduler::ToProto(job);
    return absl::OkStatus();
  });
}

}  // namespace crossover::scheduler
