// LeaseClient by scheduler.v1.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/time/clock.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "services/trainer_worker/domain/lease_client.h"
#include "services/trainer_worker/domain/usage_sampler.h"

namespace crossover::worker {

struct WorkerIdentity {
  std::string name;         // the same over restarts
  std::string incarnation;  // new with every process
  std::string version;
  int threads = 0;
  int64_t memory_bytes = 0;  // of the machine, or its control group
  int max_gang = 1;          // most workers it trains together with; 1 = alone
  std::string gang_address;  // host:port where it would await them as rank 0; empty = it cannot
  std::vector<ComputeType> compute_types;  // as TrainEngine says
};

// What such a worker has.
::crossover::scheduler::v1::Capabilities CapabilitiesOf(const WorkerIdentity& identity);

// Thread-safe. Borrows clock and usage; nullptr: what is used is not told.
class GrpcLeaseClient final : public LeaseClient {
 public:
  GrpcLeaseClient(const std::shared_ptr<grpc::Channel>& channel, WorkerIdentity identity,
                  std::string api_key, Clock& clock, UsageSampler* usage = nullptr);

  absl::StatusOr<std::optional<LeasedJob>> Lease(absl::Duration wait) override;
  void Interrupt() override;
  absl::Status Leave() override;
  absl::StatusOr<BeatReply> Heartbeat(const LeasedJob& job, const Report& report) override;
  absl::StatusOr<std::vector<std::string>> RecordCheckpoint(const LeasedJob& job, int64_t step,
                                                            const std::string& digest,
                                                            const std::string& adapter_digest,
                                                            const Metric& metrics) override;
  absl::Status Complete(const LeasedJob& job, const Ending& ending,
                        const Report& last_report) override;
  absl::Status Release(const LeasedJob& job, ReleaseReason reason, int64_t checkpoint_step,
                       const std::string& how) override;

 private:
  // Nobody knows how long ago within the wait the lease was granted. A first beat says from when on
  // it may be trusted.
  absl::StatusOr<std::optional<LeasedJob>> Greet(LeasedJob job, int64_t steps);

  const std::unique_ptr<::crossover::scheduler::v1::LeaseService::Stub> stub_;
  const WorkerIdentity identity_;
  const std::string api_key_;
  Clock& clock_;
  UsageSampler* const usage_;
  absl::Mutex mutex_;
  bool interrupted_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* waiting_ ABSL_GUARDED_BY(mutex_) = nullptr;  // the Lease that waits
};

}  // namespace crossover::worker
