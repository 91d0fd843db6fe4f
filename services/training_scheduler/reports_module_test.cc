// What people look at: comparisons, logs, queue positions, workers, etags, over a real scheduler.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ReportsModuleTest : public ::testing::Test {
 protected:
  ReportsModuleTest() {
    fixture_.AddBase("smollm2", "sha256:base");
    fixture_.curation().Add("projects/default/datasets/clauses/versions/sha256:1", "sha256:data",
                            2000, 250);
  }

  v1::Job CreateWithRank(int32_t rank) {
    v1::CreateJobRequest request;
    request.set_parent("projects/default");
    request.mutable_job()->set_kind(v1::Job::SFT);
    request.mutable_job()->set_base_model("smollm2");
    request.mutable_job()->set_dataset_version(
        "projects/default/datasets/clauses/versions/sha256:1");
    request.mutable_job()->mutable_spec()->mutable_training()->mutable_adapter()->set_r(rank);
    absl::StatusOr<v1::Job> job = rpc::Invoke(*jobs_, &v1::JobService::Stub::CreateJob, request);
    EXPECT_OK(job);
    return *job;
  }

  v1::LeaseJobResponse LeaseAs(const std::string& worker) {
    v1::LeaseJobRequest request;
    request.set_worker(worker);
    request.set_incarnation(worker + "-1");
    absl::StatusOr<v1::LeaseJobResponse> leased =
        rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, request);
    EXPECT_OK(leased);
    return *leased;
  }

  // Reports one loss a step.
  void ReportLosses(const v1::LeaseJobResponse& leased, const std::vector<double>& losses) {
    v1::HeartbeatRequest beat;
    beat.set_job(leased.job().name());
    beat.set_token(leased.lease().token());
    beat.set_epoch(leased.lease().epoch());
    beat.set_worker_seq(1);
    beat.add_log_lines("loading rows");
    for (size_t i = 0; i < losses.size(); ++i) {
      v1::MetricPoint* point = beat.add_metrics();
      point->set_step(static_cast<int64_t>(i) + 1);
      point->set_train_loss(losses[i]);
    }
    ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::Heartbeat, beat));
  }

  v1::Job Get(const std::string& name) {
    v1::GetJobRequest request;
    request.set_name(name);
    absl::StatusOr<v1::Job> job = rpc::Invoke(*jobs_, &v1::JobService::Stub::GetJob, request);
    EXPECT_OK(job);
    return *job;
  }

  SchedulerFixture fixture_;
  std::unique_ptr<v1::JobService::Stub> jobs_ = v1::JobService::NewStub(fixture_.channel());
  std::unique_ptr<v1::LeaseService::Stub> leases_ = v1::LeaseService::NewStub(fixture_.channel());
};

TEST_F(ReportsModuleTest, TwoRunsAreComparedBySpecLossAndSpikes) {
  const std::string first = CreateWithRank(16).name();
  const std::string second = CreateWithRank(32).name();
  std::vector<double> losses(30, 2.0);
  const v1::LeaseJobResponse one = LeaseAs("w1");
  ASSERT_EQ(one.job().name(), first);
  ReportLosses(one, losses);
  losses[19] = 5;
  losses.back() = 1.5;
  losses.push_back(1.4);
  ReportLosses(LeaseAs("w2"), losses);

  v1::CompareJobsRequest request;
  request.set_parent("projects/default");
  request.add_names(first);
  request.add_names(second);
  ASSERT_OK_AND_ASSIGN(v1::CompareJobsResponse compared,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::CompareJobs, request));
  ASSERT_THAT(compared.columns(), SizeIs(2));
  EXPECT_THAT(compared.columns(0).spikes(), SizeIs(0));
  ASSERT_THAT(compared.columns(1).spikes(), SizeIs(1));
  EXPECT_EQ(compared.columns(1).spikes(0).step(), 20);
  EXPECT_EQ(compared.columns(1).spikes(0).median(), 2);
  EXPECT_EQ(compared.columns(1).last().step(), 31);
  ASSERT_THAT(compared.losses(), SizeIs(30));  // the step that only one has is left out
  EXPECT_THAT(compared.losses(29).train_losses(), ElementsAre(2.0, 1.5));
  EXPECT_THAT(compared.losses(29).differences(), ElementsAre(0.0, -0.5));
  const auto rank = std::find_if(compared.differences().begin(), compared.differences().end(),
                                 [](const auto& d) { return d.field() == "training.adapter.r"; });
  ASSERT_NE(rank, compared.differences().end());
  EXPECT_THAT(rank->values(), ElementsAre("16", "32"));
  request.set_parent("projects/another");
  EXPECT_THAT(
      rpc::Invoke(*jobs_, &v1::JobService::Stub::CompareJobs, request),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not of projects/another")));
  request.set_parent("projects/default");
  request.mutable_names()->RemoveLast();
  EXPECT_THAT(rpc::Invoke(*jobs_, &v1::JobService::Stub::CompareJobs, request),
              HasReasonThat("FIELD_INVALID"));
}

TEST_F(ReportsModuleTest, AJobTellsItsPlaceItsEstimateItsLogAndWhatItTook) {
  const v1::Job first = CreateWithRank(16);
  const v1::Job second = CreateWithRank(16);
  EXPECT_EQ(first.queue_position(), 0);
  EXPECT_EQ(second.queue_position(), 1);
  EXPECT_GT(first.estimate().seconds().seconds() + first.estimate().seconds().nanos(), 0);
  const v1::LeaseJobResponse leased = LeaseAs("w1");
  EXPECT_EQ(Get(second.name()).queue_position(), 0);
  ReportLosses(leased, {2.0});
  EXPECT_EQ(Get(first.name()).log_tail(), "loading rows\n");
  v1::CompleteJobRequest complete;
  complete.set_job(first.name());
  complete.set_token(leased.lease().token());
  complete.set_epoch(leased.lease().epoch());
  ASSERT_OK_AND_ASSIGN(std::string adapter, fixture_.blobs().PutBytes("bytes"));
  complete.mutable_success()->set_adapter(adapter);
  complete.mutable_actual()->mutable_seconds()->set_seconds(12);
  complete.mutable_actual()->set_tokens(345);
  ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::CompleteJob, complete));
  EXPECT_EQ(Get(first.name()).actual().seconds().seconds(), 12);
  EXPECT_EQ(Get(first.name()).actual().tokens(), 345);
}

TEST_F(ReportsModuleTest, ACheckpointsEtagChangesWithItsPin) {
  const std::string job = CreateWithRank(16).name();
  const v1::LeaseJobResponse leased = LeaseAs("w1");
  v1::RecordCheckpointRequest record;
  record.set_job(job);
  record.set_token(leased.lease().token());
  record.set_epoch(1);
  record.set_step(5);
  record.set_digest("sha256:c");
  ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::RecordCheckpoint, record));
  v1::GetCheckpointRequest get;
  get.set_name(job + "/checkpoints/5");
  ASSERT_OK_AND_ASSIGN(v1::Checkpoint read,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::GetCheckpoint, get));
  EXPECT_NE(read.etag(), "");
  v1::UpdateCheckpointRequest update;
  *update.mutable_checkpoint() = read;
  update.mutable_checkpoint()->set_pinned(true);
  ASSERT_OK_AND_ASSIGN(v1::Checkpoint pinned,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::UpdateCheckpoint, update));
  EXPECT_NE(pinned.etag(), read.etag());
  EXPECT_GT(absl::FromUnixSeconds(pinned.update_time().seconds()) +
                absl::Nanoseconds(pinned.update_time().nanos()),
            absl::FromUnixSeconds(read.update_time().seconds()) +
                absl::Nanoseconds(read.update_time().nanos()));
  EXPECT_THAT(rpc::Invoke(*jobs_, &v1::JobService::Stub::UpdateCheckpoint, update),
              HasReasonThat("ETAG_MISMATCH"));
}

TEST_F(ReportsModuleTest, AWorkerSaysWhatItUsesWithItsBeats) {
  const std::string job = CreateWithRank(16).name();
  const v1::LeaseJobResponse leased = LeaseAs("w1");
  v1::HeartbeatRequest beat;
  beat.set_job(job);
  beat.set_token(leased.lease().token());
  beat.set_epoch(leased.lease().epoch());
  beat.set_worker_seq(1);
  v1::WorkerUsage::Device* device = beat.mutable_usage()->add_devices();
  device->set_kind("cpu");
  device->set_memory_bytes(2'000);
  device->set_memory_limit_bytes(8'000);
  device->set_busy_ratio(0.75);
  beat.mutable_usage()->set_tokens_per_second(120);
  ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::Heartbeat, beat));
  v1::GetWorkerRequest get;
  get.set_name("workers/w1");
  ASSERT_OK_AND_ASSIGN(const v1::Worker worker,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::GetWorker, get));
  ASSERT_EQ(worker.usage().devices_size(), 1);
  EXPECT_EQ(worker.usage().devices(0).SerializeAsString(), device->SerializeAsString());
  EXPECT_EQ(worker.usage().tokens_per_second(), 120);
  EXPECT_GE(worker.update_time().seconds(), worker.usage().sample_time().seconds());
  // A number that makes no sense is left out, and the beat counts.
  device->set_busy_ratio(-1);
  beat.set_worker_seq(2);
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse reply,
                       rpc::Invoke(*leases_, &v1::LeaseService::Stub::Heartbeat, beat));
  EXPECT_EQ(reply.accepted_seq(), 2);
  ASSERT_OK_AND_ASSIGN(const v1::Worker after,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::GetWorker, get));
  EXPECT_EQ(after.usage().devices(0).busy_ratio(), 0);
  EXPECT_EQ(after.usage().devices(0).memory_bytes(), 2'000);
}

TEST_F(ReportsModuleTest, AWorkerIsReadByItsName) {
  const std::string job = CreateWithRank(16).name();
  LeaseAs("w1");
  v1::GetWorkerRequest get;
  get.set_name("workers/w1");
  ASSERT_OK_AND_ASSIGN(v1::Worker worker,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::GetWorker, get));
  EXPECT_EQ(worker.state(), v1::Worker::BUSY);
  EXPECT_EQ(worker.job(), job);
  EXPECT_FALSE(worker.has_usage());
  get.set_name("workers/w2");
  EXPECT_THAT(rpc::Invoke(*jobs_, &v1::JobService::Stub::GetWorker, get),
              HasReasonThat("RESOURCE_NOT_FOUND"));
}

}  // namespace
}  // namespace crossover::scheduler
