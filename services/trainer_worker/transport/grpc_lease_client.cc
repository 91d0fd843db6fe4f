#include "services/trainer_worker/transport/grpc_lease_client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"
#include "common/rpc/error_mapper.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/trainer_worker/transport/convert.h"

namespace crossover::worker {
namespace {

using Stub = pb::LeaseService::Stub;

// Short enough that a beat without an answer leaves time for another within the lease.
constexpr absl::Duration kCallTimeout = absl::Seconds(5);

}  // namespace

pb::Capabilities CapabilitiesOf(const WorkerIdentity& identity) {
  pb::Capabilities capabilities;
  for (const char* kind : {"SFT", "PREFERENCE", "DISTIL", "SWEEP", "EXPORT"}) {
    capabilities.add_kinds(kind);
  }
  pb::Capabilities::Device* device = capabilities.add_devices();
  device->set_kind("cpu");
  device->set_units(identity.threads);
  device->set_memory_bytes(identity.memory_bytes);
  capabilities.set_gang(identity.max_gang);
  capabilities.set_rendezvous(identity.gang_address);
  for (const ComputeType type : identity.compute_types)
    capabilities.add_compute_types(type == ComputeType::kBfloat16 ? "bfloat16" : "float32");
  return capabilities;
}

GrpcLeaseClient::GrpcLeaseClient(const std::shared_ptr<grpc::Channel>& channel,
                                 WorkerIdentity identity, std::string api_key, Clock& clock,
                                 UsageSampler* usage)
    : stub_(pb::LeaseService::NewStub(channel)),
      identity_(std::move(identity)),
      api_key_(std::move(api_key)),
      clock_(clock),
      usage_(usage) {}

absl::StatusOr<std::optional<LeasedJob>> GrpcLeaseClient::Lease(absl::Duration wait) {
  pb::LeaseJobRequest request;
  request.set_worker(absl::StrCat("workers/", identity_.name));
  request.set_incarnation(identity_.incarnation);
  request.set_version(identity_.version);
  request.mutable_wait()->set_seconds(absl::ToInt64Seconds(wait));
  *request.mutable_capabilities() = CapabilitiesOf(identity_);
  if (usage_ != nullptr) {
    *request.mutable_usage() = ToProto(usage_->Sample());
    const std::string base = usage_->loaded_base();
    if (!base.empty()) request.mutable_capabilities()->add_base_digests(base);
  }

  grpc::ClientContext context;
  rpc::PrepareContext(context,
                      {.timeout = wait + absl::Seconds(10), .api_key = api_key_, .clock = &clock_});
  context.set_wait_for_ready(true);
  {
    absl::MutexLock lock(&mutex_);
    if (interrupted_) return absl::CancelledError("the worker drains");
    waiting_ = &context;
  }
  pb::LeaseJobResponse response;
  const grpc::Status status = stub_->LeaseJob(&context, request, &response);
  {
    absl::MutexLock lock(&mutex_);
    waiting_ = nullptr;
  }
  if (!status.ok()) return rpc::FromGrpc(status);
  if (!response.has_job()) return std::optional<LeasedJob>();
  absl::StatusOr<LeasedJob> job = FromProto(response);
  if (!job.ok()) {
    // Newer than this worker: another one may know it.
    LeasedJob unknown;
    unknown.name = response.job().name();
    unknown.token = response.lease().token();
    unknown.epoch = response.lease().epoch();
    Release(unknown, ReleaseReason::kDrain, 0, "").IgnoreError();
    return job.status();
  }
  return Greet(*std::move(job), response.resolved_spec().training().steps());
}

absl::StatusOr<std::optional<LeasedJob>> GrpcLeaseClient::Greet(LeasedJob job, int64_t steps) {
  Report hello;
  hello.seq = job.next_seq++;
  hello.progress.phase = "starting";
  hello.progress.step = job.resume_step;
  hello.progress.steps = steps;
  const absl::Duration before = clock_.SteadyNow();
  const absl::Status greeted = Heartbeat(job, hello).status();
  if (!greeted.ok()) {  // Nobody works on it: another attempt need not wait for the lease's end.
    Release(job, ReleaseReason::kDrain, job.resume_step, "").IgnoreError();
    return greeted;
  }
  job.granted_at = before;
  return std::optional(std::move(job));
}

void GrpcLeaseClient::Interrupt() {
  absl::MutexLock lock(&mutex_);
  interrupted_ = true;
  if (waiting_ != nullptr) waiting_->TryCancel();
}

absl::Status GrpcLeaseClient::Leave() {
  pb::ReleaseLeaseRequest request;
  request.set_worker(absl::StrCat("workers/", identity_.name));
  request.set_incarnation(identity_.incarnation);
  request.set_reason(pb::ReleaseLeaseRequest::DRAIN);
  return rpc::Invoke(*stub_, &Stub::ReleaseLease, request,
                     {.timeout = kCallTimeout, .api_key = api_key_, .clock = &clock_})
      .status();
}

absl::StatusOr<BeatReply> GrpcLeaseClient::Heartbeat(const LeasedJob& job, const Report& report) {
  pb::HeartbeatRequest request = ToProto(job, report);
  if (usage_ != nullptr) *request.mutable_usage() = ToProto(usage_->Sample());
  ASSIGN_OR_RETURN(pb::HeartbeatResponse response,
                   rpc::Invoke(*stub_, &Stub::Heartbeat, request,
                               {.timeout = kCallTimeout, .api_key = api_key_, .clock = &clock_}));
  return FromProto(response);
}

absl::StatusOr<std::vector<std::string>> GrpcLeaseClient::RecordCheckpoint(
    const LeasedJob& job, int64_t step, const std::string& digest,
    const std::string& adapter_digest, const Metric& metrics) {
  pb::RecordCheckpointRequest request;
  request.set_job(job.name);
  request.set_token(job.token);
  request.set_epoch(job.epoch);
  request.set_step(step);
  request.set_digest(digest);
  request.set_adapter_digest(adapter_digest);
  *request.mutable_metrics() = ToProto(metrics);
  ASSIGN_OR_RETURN(pb::RecordCheckpointResponse response,
                   rpc::Invoke(*stub_, &Stub::RecordCheckpoint, request,
                               {.timeout = kCallTimeout, .api_key = api_key_, .clock = &clock_}));
  return std::vector<std::string>(response.released_digests().begin(),
                                  response.released_digests().end());
}

absl::Status GrpcLeaseClient::Complete(const LeasedJob& job, const Ending& ending,
                                       const Report& last_report) {
  return rpc::Invoke(*stub_, &Stub::CompleteJob, ToProto(job, ending, last_report),
                     {.timeout = kCallTimeout, .api_key = api_key_, .clock = &clock_})
      .status();
}

absl::Status GrpcLeaseClient::Release(const LeasedJob& job, ReleaseReason reason,
                                      int64_t checkpoint_step, const std::string& how) {
  pb::ReleaseLeaseRequest request;
  request.set_job(job.name);
  request.set_token(job.token);
  request.set_epoch(job.epoch);
  request.set_reason(ToProto(reason));
  request.set_checkpoint_step(checkpoint_step);
  request.set_message(how);
  return rpc::Invoke(*stub_, &Stub::ReleaseLease, request,
                     {.timeout = kCallTimeout, .api_key = api_key_, .clock = &clock_})
      .status();
}

}  // namespace crossover::worker
