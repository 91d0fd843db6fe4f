// A pipeline of two jobs over a real scheduler and a real database.
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "crossover/scheduler/v1/pipeline_service.grpc.pb.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;

class PipelineModuleTest : public ::testing::Test {
 protected:
  PipelineModuleTest() {
    fixture_.AddBase("smollm2", "sha256:base");
    fixture_.curation().Add("projects/default/datasets/clauses/versions/sha256:1", "sha256:data",
                            2000, 250);
  }

  static v1::CreatePipelineRequest TrainThenExport() {
    v1::CreatePipelineRequest request;
    request.set_parent("projects/default");
    const auto status = google::protobuf::util::JsonStringToMessage(
        R"({"steps": [
          {"id": "train", "kind": "JOB", "resource": {"kind": "SFT", "base_model": "smollm2",
            "dataset_version": "projects/default/datasets/clauses/versions/sha256:1"}},
          {"id": "export", "kind": "EXPORT", "resource": {"kind": "EXPORT",
            "spec": {"model_export": {"adapter": "{{steps.train.digest}}", "format": "PEFT"}}}}]})",
        request.mutable_pipeline());
    EXPECT_TRUE(status.ok()) << status.ToString();
    return request;
  }

  absl::StatusOr<v1::Pipeline> Create(const v1::CreatePipelineRequest& request) {
    return rpc::Invoke(*pipelines_, &v1::PipelineService::Stub::CreatePipeline, request);
  }

  v1::Pipeline Get(const std::string& name) {
    v1::GetPipelineRequest request;
    request.set_name(name);
    absl::StatusOr<v1::Pipeline> pipeline =
        rpc::Invoke(*pipelines_, &v1::PipelineService::Stub::GetPipeline, request);
    EXPECT_OK(pipeline);
    return *pipeline;
  }

  // As it is once `done`, or after 30 s.
  v1::Pipeline Until(const std::string& name,
                     const std::function<bool(const v1::Pipeline&)>& done) {
    const absl::Duration give_up = SystemClock().SteadyNow() + absl::Seconds(30);
    while (true) {
      v1::Pipeline pipeline = Get(name);
      if (done(pipeline) || SystemClock().SteadyNow() > give_up) return pipeline;
      SystemClock().SleepFor(absl::Milliseconds(50));
    }
  }

  // Plays a worker: takes the next job and ends it.
  void FinishNextJob(const std::function<void(v1::CompleteJobRequest&)>& outcome) {
    v1::LeaseJobRequest lease;
    lease.set_worker("w");
    lease.set_incarnation("w-1");
    lease.mutable_wait()->set_seconds(20);
    absl::StatusOr<v1::LeaseJobResponse> leased = rpc::Invoke(
        *leases_, &v1::LeaseService::Stub::LeaseJob, lease, {.timeout = absl::Seconds(30)});
    ASSERT_OK(leased);
    ASSERT_NE(leased->job().name(), "");
    v1::CompleteJobRequest complete;
    complete.set_job(leased->job().name());
    complete.set_token(leased->lease().token());
    complete.set_epoch(leased->lease().epoch());
    outcome(complete);
    ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::CompleteJob, complete));
  }

  SchedulerFixture fixture_;
  std::unique_ptr<v1::PipelineService::Stub> pipelines_ =
      v1::PipelineService::NewStub(fixture_.channel());
  std::unique_ptr<v1::LeaseService::Stub> leases_ = v1::LeaseService::NewStub(fixture_.channel());
};

TEST_F(PipelineModuleTest, ResumesAtTheStepThatFailedAndHandsTheAdapterOn) {
  ASSERT_OK_AND_ASSIGN(v1::Pipeline pipeline, Create(TrainThenExport()));
  FinishNextJob([](v1::CompleteJobRequest& complete) {
    complete.mutable_failure()->set_class_(v1::JobError::USER);
    complete.mutable_failure()->set_reason("LOSS_NOT_FINITE");
    complete.mutable_failure()->set_message("the loss is not finite");
  });
  pipeline = Until(pipeline.name(),
                   [](const v1::Pipeline& p) { return p.state() == v1::Pipeline::FAILED; });
  EXPECT_EQ(pipeline.steps(0).error(), "the loss is not finite");
  EXPECT_EQ(pipeline.steps(1).state(), v1::Pipeline::PENDING);
  const std::string job = pipeline.steps(0).created();

  v1::ResumePipelineRequest resume;
  resume.set_name(pipeline.name());
  ASSERT_OK(rpc::Invoke(*pipelines_, &v1::PipelineService::Stub::ResumePipeline, resume));
  ASSERT_OK_AND_ASSIGN(std::string adapter, fixture_.blobs().PutBytes("adapter"));
  FinishNextJob([&](v1::CompleteJobRequest& complete) {
    EXPECT_EQ(complete.job(), job);  // the same job, retried
    complete.mutable_success()->set_adapter(adapter);
  });
  FinishNextJob(
      [&](v1::CompleteJobRequest& complete) { complete.mutable_success()->set_artifact(adapter); });
  pipeline = Until(pipeline.name(),
                   [](const v1::Pipeline& p) { return p.state() == v1::Pipeline::SUCCEEDED; });
  EXPECT_EQ(pipeline.state(), v1::Pipeline::SUCCEEDED) << pipeline.DebugString();
  EXPECT_THAT(pipeline.steps(0).output(), HasSubstr(adapter));
  EXPECT_EQ(pipeline.steps(1).output(), adapter);
}

TEST_F(PipelineModuleTest, AWatcherSeesEveryStepAndTheStreamEndsWithThePipeline) {
  ASSERT_OK_AND_ASSIGN(const v1::Pipeline created, Create(TrainThenExport()));
  v1::WatchPipelineRequest request;
  request.set_name(created.name());
  grpc::ClientContext context;
  rpc::PrepareContext(context, {.timeout = absl::Seconds(60)});
  const auto stream = pipelines_->WatchPipeline(&context, request);
  v1::WatchPipelineResponse item;
  ASSERT_TRUE(stream->Read(&item));
  EXPECT_EQ(item.pipeline().name(), created.name());
  ASSERT_OK_AND_ASSIGN(std::string adapter, fixture_.blobs().PutBytes("adapter"));
  FinishNextJob(
      [&](v1::CompleteJobRequest& complete) { complete.mutable_success()->set_adapter(adapter); });
  std::string token;
  while (item.pipeline().steps(0).state() != v1::Pipeline::SUCCEEDED) {
    token = item.resume_token();
    ASSERT_TRUE(stream->Read(&item));
  }
  FinishNextJob(
      [&](v1::CompleteJobRequest& complete) { complete.mutable_success()->set_artifact(adapter); });
  v1::Pipeline last = item.pipeline();
  while (stream->Read(&item)) last = item.pipeline();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(last.state(), v1::Pipeline::SUCCEEDED);

  // Whoever comes back with an earlier token is told how it ended.
  request.set_resume_token(token);
  grpc::ClientContext later;
  rpc::PrepareContext(later, {.timeout = absl::Seconds(60)});
  const auto again = pipelines_->WatchPipeline(&later, request);
  ASSERT_TRUE(again->Read(&item));
  EXPECT_EQ(item.pipeline().state(), v1::Pipeline::SUCCEEDED);
  EXPECT_FALSE(again->Read(&item));
  EXPECT_TRUE(again->Finish().ok());

  request.set_resume_token("yesterday");
  grpc::ClientContext wrong;
  rpc::PrepareContext(wrong, {.timeout = absl::Seconds(60)});
  EXPECT_EQ(pipelines_->WatchPipeline(&wrong, request)->Finish().error_code(),
            grpc::StatusCode::OUT_OF_RANGE);
}

TEST_F(PipelineModuleTest, CancelReachesTheJobAndAWrongStepIsNamedBeforeAnythingRuns) {
  ASSERT_OK_AND_ASSIGN(v1::Pipeline pipeline, Create(TrainThenExport()));
  pipeline =
      Until(pipeline.name(), [](const v1::Pipeline& p) { return !p.steps(0).created().empty(); });
  v1::CancelPipelineRequest cancel;
  cancel.set_name(pipeline.name());
  ASSERT_OK(rpc::Invoke(*pipelines_, &v1::PipelineService::Stub::CancelPipeline, cancel));
  pipeline = Until(pipeline.name(), [](const v1::Pipeline& p) {
    return p.steps(0).state() == v1::Pipeline::CANCELLED;
  });
  EXPECT_EQ(pipeline.state(), v1::Pipeline::CANCELLED);
  auto jobs = v1::JobService::NewStub(fixture_.channel());
  v1::GetJobRequest get;
  get.set_name(pipeline.steps(0).created());
  EXPECT_EQ(rpc::Invoke(*jobs, &v1::JobService::Stub::GetJob, get)->state(), v1::Job::CANCELLED);

  v1::CreatePipelineRequest wrong = TrainThenExport();
  (*wrong.mutable_pipeline()->mutable_steps(0)->mutable_resource()->mutable_fields())["epochs"]
      .set_number_value(3);
  wrong.set_validate_only(true);
  const absl::Status refused = Create(wrong).status();
  EXPECT_THAT(refused, HasReasonThat("FIELD_INVALID"));
  EXPECT_THAT(refused.ToString(), HasSubstr("pipeline.steps[0].resource"));
  EXPECT_THAT(refused.ToString(), HasSubstr("epochs"));

  v1::CreatePipelineRequest check = TrainThenExport();
  check.set_validate_only(true);
  ASSERT_OK_AND_ASSIGN(const v1::Pipeline checked, Create(check));
  EXPECT_EQ(checked.name(), "");
  EXPECT_EQ(checked.state(), v1::Pipeline::STATE_UNSPECIFIED) << "nothing runs";
  auto& train = *check.mutable_pipeline()->mutable_steps(0)->mutable_resource()->mutable_fields();
  train["base_model"].set_string_value("smollm9");
  EXPECT_THAT(Create(check), HasReasonThat("BASE_MODEL_UNKNOWN"));
  EXPECT_THAT(Create(check).status().ToString(),
              HasSubstr("pipeline.steps[0].resource: base_model is 'smollm9'"));
  train["base_model"].set_string_value("smollm2");
  train["dataset_version"].set_string_value("projects/default/datasets/clauses/versions/sha256:9");
  EXPECT_THAT(Create(check), HasReasonThat("DATASET_VERSION_UNKNOWN"));

  wrong = TrainThenExport();
  wrong.mutable_pipeline()->mutable_steps(1)->set_kind(v1::Pipeline::EVALUATION_RUN);
  EXPECT_THAT(Create(wrong), HasReasonThat("DEPENDENCY_MISSING"));  // none in this test
}

}  // namespace
}  // namespace crossover::scheduler
