// What a key of one project may not do to another, over a real scheduler.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string_view>

#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"

namespace crossover::scheduler {
namespace {

// Two keys of two projects, and one of a worker of each.
class TwoKeys final : public rpc::Authenticator {
 public:
  absl::StatusOr<rpc::Principal> Authenticate(std::string_view authorization,
                                              std::string_view) override {
    if (authorization == "Bearer a") return Key("projects/a", rpc::Role::kAdmin);
    if (authorization == "Bearer b") return Key("projects/b", rpc::Role::kAdmin);
    if (authorization == "Bearer worker-a") return Key("projects/a", rpc::Role::kWorker);
    if (authorization == "Bearer worker-b") return Key("projects/b", rpc::Role::kWorker);
    return absl::UnauthenticatedError("no key");
  }

 private:
  static rpc::Principal Key(const char* project, rpc::Role role) {
    return {.name = "key", .project = project, .role = role};
  }
};

class TwoProjectsTest : public ::testing::Test {
 protected:
  TwoProjectsTest() {
    fixture_.AddBase("smollm2", "sha256:base", "a");
    fixture_.AddBase("smollm2", "sha256:base", "b");
    fixture_.curation().Add("projects/a/datasets/d/versions/sha256:1", "sha256:data", 2000, 250);
  }

  // Calls with the key of B; a request about A's things must be forbidden.
  template <typename Stub, typename Method, typename Request>
  absl::Status AsB(Stub& stub, Method method, const Request& request) {
    return rpc::Invoke(*stub, method, request, {.api_key = "b"}).status();
  }

  TwoKeys keys_;
  SchedulerFixture fixture_{{}, &keys_};
  std::unique_ptr<v1::JobService::Stub> jobs_ = v1::JobService::NewStub(fixture_.channel());
  std::unique_ptr<v1::LeaseService::Stub> leases_ = v1::LeaseService::NewStub(fixture_.channel());
  std::unique_ptr<v1::ModelService::Stub> models_ = v1::ModelService::NewStub(fixture_.channel());
};

TEST_F(TwoProjectsTest, AKeyOfOneProjectCannotTouchAnothers) {
  v1::CreateJobRequest create;
  create.set_parent("projects/a");
  create.mutable_job()->set_kind(v1::Job::SFT);
  create.mutable_job()->set_base_model("smollm2");
  create.mutable_job()->set_dataset_version("projects/a/datasets/d/versions/sha256:1");
  ASSERT_OK_AND_ASSIGN(
      v1::Job job, rpc::Invoke(*jobs_, &v1::JobService::Stub::CreateJob, create, {.api_key = "a"}));
  const auto forbidden = HasReasonThat("RESOURCE_FORBIDDEN");
  EXPECT_THAT(AsB(jobs_, &v1::JobService::Stub::CreateJob, create), forbidden);
  v1::GetJobRequest get;
  get.set_name(job.name());
  EXPECT_THAT(AsB(jobs_, &v1::JobService::Stub::GetJob, get), forbidden);
  v1::CancelJobRequest cancel;
  cancel.set_name(job.name());
  EXPECT_THAT(AsB(jobs_, &v1::JobService::Stub::CancelJob, cancel), forbidden);
  v1::ListJobsRequest list;
  list.set_parent("projects/a");
  EXPECT_THAT(AsB(jobs_, &v1::JobService::Stub::ListJobs, list), forbidden);
  v1::GetCheckpointRequest checkpoint;
  checkpoint.set_name(job.name() + "/checkpoints/1");
  EXPECT_THAT(AsB(jobs_, &v1::JobService::Stub::GetCheckpoint, checkpoint), forbidden);
  v1::DeleteModelVersionRequest remove;
  remove.set_name("projects/a/models/smollm2/versions/sha256:base");
  EXPECT_THAT(AsB(models_, &v1::ModelService::Stub::DeleteModelVersion, remove), forbidden);
  v1::ListModelVersionsRequest versions;
  versions.set_parent("projects/a/models/-");
  EXPECT_THAT(AsB(models_, &v1::ModelService::Stub::ListModelVersions, versions), forbidden);

  // B's own project, but A's data.
  create.set_parent("projects/b");
  EXPECT_THAT(AsB(jobs_, &v1::JobService::Stub::CreateJob, create), forbidden);

  v1::LeaseJobRequest lease;
  lease.set_worker("workers/w");
  lease.set_incarnation("life-1");
  ASSERT_OK_AND_ASSIGN(
      v1::LeaseJobResponse nothing,
      rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, lease, {.api_key = "worker-b"}));
  EXPECT_FALSE(nothing.has_job());
}

TEST_F(TwoProjectsTest, AWorkerOfAnotherProjectIsNotUnlisted) {
  v1::LeaseJobRequest lease;
  lease.set_worker("workers/w");
  lease.set_incarnation("life-1");
  ASSERT_OK(
      rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, lease, {.api_key = "worker-a"}));
  v1::ReleaseLeaseRequest leave;
  leave.set_reason(v1::ReleaseLeaseRequest::DRAIN);
  leave.set_worker("workers/w");
  leave.set_incarnation("life-1");
  const auto listed_after = [&](const char* key) {
    EXPECT_OK(
        rpc::Invoke(*leases_, &v1::LeaseService::Stub::ReleaseLease, leave, {.api_key = key}));
    return rpc::Invoke(*jobs_, &v1::JobService::Stub::ListWorkers, v1::ListWorkersRequest(),
                       {.api_key = "a"})
        ->workers_size();
  };
  EXPECT_EQ(listed_after("worker-b"), 1);
  EXPECT_EQ(listed_after("worker-a"), 0);
}

TEST_F(TwoProjectsTest, AnArtifactOfAnotherProjectIsNotSent) {
  v1::DownloadArtifactRequest download;
  download.set_parent("projects/a");
  download.set_digest("sha256:base");
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer b");
  auto stream = models_->DownloadArtifact(&context, download);
  v1::DownloadArtifactResponse piece;
  EXPECT_FALSE(stream->Read(&piece));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

}  // namespace
}  // namespace crossover::scheduler
