// Jobs and leases over a real server and a real database.
#include "services/training_scheduler/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "services/training_scheduler/module_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST_F(ModuleTest, AJobIsCreatedLeasedReportedAndCompleted) {
  v1::CreateJobRequest request = NewJob();
  request.mutable_job()->mutable_spec()->mutable_training()->set_learning_rate(8e-4);
  ASSERT_OK_AND_ASSIGN(v1::Job job, Create(request));
  EXPECT_EQ(job.state(), v1::Job::QUEUED);
  EXPECT_EQ(job.resolved_spec().training().learning_rate(), 8e-4);
  EXPECT_EQ(job.resolved_spec().training().adapter().r(), 16);
  EXPECT_EQ(job.resolved_spec().training().base_model_digest(), "sha256:base");
  EXPECT_FALSE(job.spec().training().adapter().has_r());

  ASSERT_OK_AND_ASSIGN(v1::LeaseJobResponse leased, Lease(absl::ZeroDuration()));
  ASSERT_EQ(leased.job().name(), job.name());
  EXPECT_THAT(leased.inputs(), SizeIs(2));
  EXPECT_EQ(leased.lease().token().size(), 32u);
  EXPECT_EQ(leased.lease().ttl().seconds(), 30);

  v1::HeartbeatRequest beat = Beat(leased, 2);
  v1::JobEvent* event = beat.add_events();
  event->set_message("loaded");
  event->set_worker_seq(1);
  v1::MetricPoint* point = beat.add_metrics();
  point->set_step(1);
  point->set_train_loss(2.5);
  ASSERT_OK_AND_ASSIGN(v1::HeartbeatResponse beaten,
                       rpc::Invoke(*leases_, &v1::LeaseService::Stub::Heartbeat, beat));
  EXPECT_EQ(beaten.directive(), v1::HeartbeatResponse::CONTINUE);
  EXPECT_EQ(beaten.accepted_seq(), 2);

  v1::RecordCheckpointRequest checkpoint;
  checkpoint.set_job(job.name());
  checkpoint.set_token(leased.lease().token());
  checkpoint.set_epoch(1);
  checkpoint.set_step(50);
  checkpoint.set_digest("sha256:c");
  ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::RecordCheckpoint, checkpoint));

  v1::CompleteJobRequest complete;
  complete.set_job(job.name());
  complete.set_token(leased.lease().token());
  complete.set_epoch(1);
  ASSERT_OK_AND_ASSIGN(std::string adapter, fixture_.blobs().PutBytes("bytes"));
  complete.mutable_success()->set_adapter(adapter);
  ASSERT_OK_AND_ASSIGN(v1::CompleteJobResponse done,
                       rpc::Invoke(*leases_, &v1::LeaseService::Stub::CompleteJob, complete));
  EXPECT_EQ(done.job().state(), v1::Job::SUCCEEDED);
  EXPECT_THAT(done.job().outputs().model_alias(), StartsWith("ft:smollm2:default::"));

  v1::ListMetricPointsRequest list;
  list.set_parent(job.name());
  ASSERT_OK_AND_ASSIGN(v1::ListMetricPointsResponse points,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::ListMetricPoints, list));
  ASSERT_THAT(points.points(), SizeIs(1));
  EXPECT_EQ(points.points(0).train_loss(), 2.5);

  v1::GetModelVersionRequest get;
  get.set_name("projects/default/models/-/versions/" + adapter);
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion version,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::GetModelVersion, get));
  EXPECT_EQ(version.kind(), v1::ModelVersion::ADAPTER);
  EXPECT_EQ(version.source_job(), job.name());
  EXPECT_EQ(version.dataset_version(), kData);
  EXPECT_EQ(version.architecture(), "llama");
  EXPECT_EQ(version.tokenizer_digest(), "sha256:tok");
  EXPECT_EQ(version.template_digest(), "sha256:tpl");
  EXPECT_EQ(version.licence(), "MIT");
  EXPECT_EQ(version.size_bytes(), 5);
}

TEST_F(ModuleTest, WrongFieldsComeBackAsViolations) {
  v1::CreateJobRequest request = NewJob();
  request.mutable_job()->set_base_model("gpt-5");
  request.mutable_job()->mutable_spec()->mutable_training()->set_epochs(0);
  const absl::Status status = Create(request).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(DetailOf(status).violations, SizeIs(2));
  EXPECT_EQ(DetailOf(status).violations[0].field, "spec.training.epochs");
  EXPECT_EQ(DetailOf(status).violations[1].field, "base_model");
}

TEST_F(ModuleTest, ARequestIdMeansOnePayload) {
  v1::CreateJobRequest request = NewJob();
  request.set_request_id("7c0f7f0e-9e7c-4a4b-8f53-7f3f9a1f0001");
  ASSERT_OK_AND_ASSIGN(v1::Job first, Create(request));
  ASSERT_OK_AND_ASSIGN(v1::Job again, Create(request));
  EXPECT_EQ(first.name(), again.name());
  request.mutable_job()->set_priority(3);
  EXPECT_THAT(Create(request), HasReasonThat("REQUEST_ID_REUSED"));
  request.set_request_id("abc");
  EXPECT_THAT(Create(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must be a UUID")));
}

TEST_F(ModuleTest, AParkedWorkerIsWokenByAJobThatComes) {
  absl::StatusOr<v1::LeaseJobResponse> leased = absl::UnknownError("");
  std::thread worker([&] { leased = Lease(absl::Seconds(20)); });
  ASSERT_OK_AND_ASSIGN(v1::Job job, Create(NewJob()));
  worker.join();
  ASSERT_OK(leased);
  EXPECT_EQ(leased->job().name(), job.name());
}

TEST_F(ModuleTest, AnEmptyQueueAnswersWithoutAJob) {
  ASSERT_OK_AND_ASSIGN(v1::LeaseJobResponse leased, Lease(absl::ZeroDuration()));
  EXPECT_FALSE(leased.has_job());
}

TEST_F(ModuleTest, AForgedTokenIsALostLease) {
  ASSERT_OK(Create(NewJob()));
  ASSERT_OK_AND_ASSIGN(v1::LeaseJobResponse leased, Lease(absl::ZeroDuration()));
  v1::HeartbeatRequest beat = Beat(leased, 1);
  beat.set_token(std::string(32, 'f'));
  const absl::Status status =
      rpc::Invoke(*leases_, &v1::LeaseService::Stub::Heartbeat, beat).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(status, HasReasonThat("LEASE_LOST"));
}

TEST_F(ModuleTest, WatchingAJobShowsItsLifeAndATokenGoesOnWhereItStopped) {
  ASSERT_OK_AND_ASSIGN(v1::Job job, Create(NewJob()));
  v1::WatchJobRequest request;
  request.set_name(job.name());
  std::string token;
  std::vector<int64_t> seen;
  {
    grpc::ClientContext context;
    auto stream = jobs_->WatchJob(&context, request);
    v1::WatchJobResponse item;
    ASSERT_TRUE(stream->Read(&item));
    EXPECT_TRUE(item.has_snapshot());
    ASSERT_TRUE(stream->Read(&item));
    seen.push_back(item.event().sequence());
    token = item.resume_token();
    context.TryCancel();
  }
  v1::CancelJobRequest cancel;
  cancel.set_name(job.name());
  cancel.set_reason("changed my mind");
  ASSERT_OK(rpc::Invoke(*jobs_, &v1::JobService::Stub::CancelJob, cancel));
  request.set_resume_token(token);
  grpc::ClientContext context;
  auto stream = jobs_->WatchJob(&context, request);
  v1::WatchJobResponse item;
  v1::Job last;
  while (stream->Read(&item)) {
    if (item.has_event()) seen.push_back(item.event().sequence());
    if (item.has_snapshot()) last = item.snapshot();
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(last.state(), v1::Job::CANCELLED);
  ASSERT_GE(seen.size(), 4u);
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], static_cast<int64_t>(i) + 1);
}

TEST_F(ModuleTest, ListsArePagedAndFiltered) {
  for (int i = 0; i < 3; ++i) ASSERT_OK(Create(NewJob()));
  v1::ListJobsRequest request;
  request.set_parent("projects/default");
  request.set_filter("state = QUEUED");
  request.set_page_size(2);
  ASSERT_OK_AND_ASSIGN(v1::ListJobsResponse page,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::ListJobs, request));
  EXPECT_THAT(page.jobs(), SizeIs(2));
  request.set_page_token(page.next_page_token());
  ASSERT_OK_AND_ASSIGN(page, rpc::Invoke(*jobs_, &v1::JobService::Stub::ListJobs, request));
  EXPECT_THAT(page.jobs(), SizeIs(1));
  EXPECT_EQ(page.next_page_token(), "");
  request.set_filter("state = RUNNING");
  EXPECT_THAT(rpc::Invoke(*jobs_, &v1::JobService::Stub::ListJobs, request),
              HasReasonThat("PAGE_TOKEN_INVALID"));
  request.clear_page_token();
  request.set_filter("colour = red");
  EXPECT_THAT(rpc::Invoke(*jobs_, &v1::JobService::Stub::ListJobs, request),
              HasReasonThat("FILTER_INVALID"));
  // AND means both.
  for (const char* none : {"state = QUEUED AND state = RUNNING", "kind = EXPORT AND kind = SFT",
                           "labels.a = x AND labels.a = y"}) {
    request.set_filter(none);
    ASSERT_OK_AND_ASSIGN(page, rpc::Invoke(*jobs_, &v1::JobService::Stub::ListJobs, request));
    EXPECT_THAT(page.jobs(), SizeIs(0)) << none;
    EXPECT_EQ(page.next_page_token(), "");
  }
  request.set_filter("state = QUEUED AND state = NOWHERE");
  EXPECT_THAT(rpc::Invoke(*jobs_, &v1::JobService::Stub::ListJobs, request),
              HasReasonThat("FILTER_INVALID"));
  v1::ListModelVersionsRequest versions;
  versions.set_parent("projects/default/models/-");
  versions.set_filter("kind = BASE AND kind = ADAPTER");
  ASSERT_OK_AND_ASSIGN(const v1::ListModelVersionsResponse models,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::ListModelVersions, versions));
  EXPECT_THAT(models.model_versions(), SizeIs(0));
}

TEST_F(ModuleTest, EstimatesSayWhatTheyRestOn) {
  v1::EstimateJobRequest request;
  request.set_parent("projects/default");
  *request.mutable_job() = NewJob().job();
  ASSERT_OK_AND_ASSIGN(v1::EstimateJobResponse estimate,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::EstimateJob, request));
  EXPECT_GT(estimate.estimate().tokens(), 0);
  ASSERT_THAT(estimate.warnings(), SizeIs(1));
  EXPECT_THAT(estimate.warnings(0), HasSubstr("rule of thumb"));
}

TEST_F(ModuleTest, AnEstimateOfABadJobSaysWhyItWouldBeRefused) {
  v1::EstimateJobRequest request;
  request.set_parent("projects/default");
  *request.mutable_job() = NewJob().job();
  request.mutable_job()->set_base_model("gpt-5");
  ASSERT_OK_AND_ASSIGN(v1::EstimateJobResponse estimate,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::EstimateJob, request));
  ASSERT_THAT(estimate.violations(), SizeIs(1));
  EXPECT_EQ(estimate.violations(0).field(), "base_model");
  EXPECT_EQ(estimate.violations(0).reason(), "BASE_MODEL_UNKNOWN");
}

TEST_F(ModuleTest, LabelsAreLimitedOnUpdateToo) {
  ASSERT_OK_AND_ASSIGN(v1::Job job, Create(NewJob()));
  v1::UpdateJobRequest update;
  update.mutable_job()->set_name(job.name());
  (*update.mutable_job()->mutable_labels())["team"] = std::string(513, 'x');
  const absl::Status status =
      rpc::Invoke(*jobs_, &v1::JobService::Stub::UpdateJob, update).status();
  EXPECT_THAT(status, HasReasonThat("FIELD_INVALID"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 512")));
}

TEST_F(ModuleTest, NothingIsForgottenOverARestart) {
  ASSERT_OK_AND_ASSIGN(v1::Job job, Create(NewJob()));
  ASSERT_OK_AND_ASSIGN(v1::LeaseJobResponse leased, Lease(absl::ZeroDuration()));
  fixture_.Restart();
  ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::Heartbeat, Beat(leased, 1),
                        {.idempotent = true, .wait_for_ready = true}));
  v1::ReleaseLeaseRequest crash;
  crash.set_worker("workers/w");
  crash.set_incarnation("life-1");
  crash.set_reason(v1::ReleaseLeaseRequest::CRASHED);
  ASSERT_OK_AND_ASSIGN(v1::ReleaseLeaseResponse released,
                       rpc::Invoke(*leases_, &v1::LeaseService::Stub::ReleaseLease, crash));
  EXPECT_EQ(released.job().name(), job.name());
  EXPECT_EQ(released.job().state(), v1::Job::QUEUED);
}

TEST_F(ModuleTest, AWorkerThatDrainsIsListedNoLonger) {
  ASSERT_OK(Lease(absl::ZeroDuration()));
  const auto listed = [&] {
    return rpc::Invoke(*jobs_, &v1::JobService::Stub::ListWorkers, v1::ListWorkersRequest())
        ->workers_size();
  };
  EXPECT_EQ(listed(), 1);
  v1::ReleaseLeaseRequest leave;
  leave.set_reason(v1::ReleaseLeaseRequest::DRAIN);
  EXPECT_THAT(rpc::Invoke(*leases_, &v1::LeaseService::Stub::ReleaseLease, leave),
              StatusIs(absl::StatusCode::kInvalidArgument))
      << "neither a lease nor a worker";
  leave.set_worker("workers/w");
  leave.set_incarnation("life-1");
  ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::ReleaseLease, leave));
  EXPECT_EQ(listed(), 0);
}

}  // namespace
}  // namespace crossover::scheduler
