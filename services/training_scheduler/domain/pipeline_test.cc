#include "services/training_scheduler/domain/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/context/request_context.h"
#include "common/status/status_macros.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_pipeline_store.h"
#include "services/training_scheduler/domain/pipeline_runner.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Creates what it is asked for, once per request_id; tests say what becomes of it.
class FakeStepService final : public StepService {
 public:
  absl::Status Check(const std::string&, const std::string&) override { return check; }
  absl::Status CheckNames(const std::string&, const std::string&) override { return names; }

  absl::StatusOr<std::string> Create(const std::string& project, const std::string& resource,
                                     const std::string& request_id) override {
    EXPECT_EQ(RequestContext::Current().project, absl::StrCat("projects/", project));
    if (!create.ok()) return create;
    const auto [place, first] =
        by_request.try_emplace(request_id, absl::StrCat("things/", by_request.size() + 1));
    if (first) resources.push_back(resource);
    if (lose_answers > 0) {
      --lose_answers;
      return absl::UnavailableError("the answer was lost");
    }
    return place->second;
  }
  absl::StatusOr<StepProgress> Look(const std::string& name) override {
    if (!look.ok()) return look;
    return things[name];
  }
  absl::Status Cancel(const std::string& name) override {
    things[name].state = PipelineState::kCancelled;
    return absl::OkStatus();
  }
  absl::StatusOr<bool> GoOn(const std::string& name, const std::string& request_id) override {
    if (!goes_on) return false;
    if (gone_on.insert(request_id).second) things[name] = {};
    return true;
  }

  std::map<std::string, StepProgress> things;  // by name; RUNNING unless said otherwise
  std::map<std::string, std::string> by_request;
  std::vector<std::string> resources;
  std::set<std::string> gone_on;
  absl::Status check, names, create, look;
  int lose_answers = 0;
  bool goes_on = true;
};

class PipelineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Pipeline pipeline;
    pipeline.id = "p1";
    pipeline.project = "default";
    pipeline.steps = {Step("curate", R"({"a": 1})"),
                      Step("train", R"({"dataset_version": "{{steps.curate.output}}"})"),
                      Step("export", R"({"adapter": "{{ steps.train.digest }}", "n": [1, "x"]})")};
    ASSERT_OK(CheckPipeline(pipeline));
    ASSERT_OK(store_.Insert(pipeline, {}));
  }

  static PipelineStep Step(const std::string& id, const std::string& resource) {
    PipelineStep step;
    step.id = id;
    step.resource = resource;
    return step;
  }

  // Everything that can be done without waiting for anything.
  void Run() {
    for (int i = 0; i < 30; ++i) {
      clock_.Advance(absl::Seconds(3));
      ASSERT_OK(runner_.RunOne());
    }
  }
  void Succeeds(const std::string& thing, const std::string& output) {
    service_.things[thing] = {PipelineState::kSucceeded, output};
    Run();
  }
  void Fails(const std::string& thing, const std::string& why) {
    service_.things[thing] = {PipelineState::kFailed, why};
    Run();
  }
  absl::Status Do(absl::Status (*verb)(Pipeline&)) {
    return store_
        .Update("default", "p1",
                [&](Pipeline& mine) -> absl::StatusOr<bool> {
                  RETURN_IF_ERROR(verb(mine));
                  return true;
                })
        .status();
  }

  Pipeline Get() { return *store_.Get("default", "p1"); }
  std::string States() {
    std::string text(Name(Get().state));
    for (const PipelineStep& step : Get().steps) {
      absl::StrAppend(&text, " ", std::string(Name(step.state)));
    }
    return text;
  }

  FakeClock clock_;
  FakePipelineStore store_{clock_};
  FakeStepService service_;
  PipelineRunner runner_{store_, {{StepKind::kJob, &service_}}, absl::Seconds(2)};
};

TEST_F(PipelineTest, StepsRunInOrderAndHandOnWhatTheyMade) {
  Run();
  EXPECT_EQ(States(), "RUNNING RUNNING PENDING PENDING");
  Succeeds("things/1", "projects/default/datasets/d/versions/sha256:1");
  EXPECT_EQ(States(), "RUNNING SUCCEEDED RUNNING PENDING");
  Succeeds("things/2", "projects/default/models/m/versions/sha256:ad");
  Succeeds("things/3", "sha256:gguf");
  EXPECT_EQ(States(), "SUCCEEDED SUCCEEDED SUCCEEDED SUCCEEDED");
  EXPECT_THAT(service_.resources,
              ElementsAre(R"({"a":1})",
                          R"({"dataset_version":"projects/default/datasets/d/versions/sha256:1"})",
                          R"({"adapter":"sha256:ad","n":[1,"x"]})"));
  EXPECT_EQ(Get().steps[2].output, "sha256:gguf");
  EXPECT_EQ(Get().steps[2].created, "things/3");
}

TEST_F(PipelineTest, AFailureStopsAndResumeGoesOnAtTheFailedStepWithWhatItHadCreated) {
  Run();
  Succeeds("things/1", "data");
  Fails("things/2", "loss is not finite");
  EXPECT_EQ(States(), "FAILED SUCCEEDED FAILED PENDING");
  EXPECT_EQ(Get().steps[1].error, "loss is not finite");

  ASSERT_OK(Do(&ResumePipeline));
  EXPECT_EQ(States(), "RUNNING SUCCEEDED PENDING PENDING");
  Run();
  EXPECT_EQ(States(), "RUNNING SUCCEEDED RUNNING PENDING");
  EXPECT_EQ(Get().steps[1].created, "things/2");  // the same job, retried
  EXPECT_THAT(service_.gone_on, SizeIs(1));
  Succeeds("things/2", "model");
  EXPECT_EQ(States(), "RUNNING SUCCEEDED SUCCEEDED RUNNING");
  EXPECT_THAT(service_.resources, SizeIs(3));
}

TEST_F(PipelineTest, WhatCannotGoOnIsCreatedAnew) {
  service_.goes_on = false;
  Run();
  Fails("things/1", "broken");
  ASSERT_OK(Do(&ResumePipeline));
  Run();
  EXPECT_EQ(Get().steps[0].created, "things/2");
  EXPECT_EQ(Get().steps[0].attempt, 2);
}

TEST_F(PipelineTest, AStepThatCouldNotBeCreatedSaysWhyAndIsTriedAgainByResume) {
  service_.create = absl::InvalidArgumentError("base_model is required");
  Run();
  EXPECT_EQ(States(), "FAILED FAILED PENDING PENDING");
  EXPECT_EQ(Get().steps[0].error, "base_model is required");
  service_.create = absl::OkStatus();
  ASSERT_OK(Do(&ResumePipeline));
  Run();
  EXPECT_EQ(States(), "RUNNING RUNNING PENDING PENDING");
}

TEST_F(PipelineTest, ALostAnswerOrASilentServiceCreatesNothingTwiceAndFailsNothing) {
  service_.lose_answers = 3;
  Run();
  EXPECT_EQ(Get().steps[0].created, "things/1");
  EXPECT_THAT(service_.resources, SizeIs(1));
  service_.look = absl::UnavailableError("away");
  Run();
  EXPECT_EQ(States(), "RUNNING RUNNING PENDING PENDING");
  service_.look = absl::NotFoundError("it is gone");
  Run();
  EXPECT_EQ(States(), "FAILED FAILED PENDING PENDING");
}

TEST_F(PipelineTest, CancelReachesWhatRunsAndTheRestNeverBegins) {
  Run();
  Succeeds("things/1", "data");
  ASSERT_OK(Do(&CancelPipeline));
  EXPECT_EQ(States(), "CANCELLED SUCCEEDED RUNNING CANCELLED");
  EXPECT_THAT(Do(&ResumePipeline), HasReasonThat("STATE_INVALID"));  // still being cancelled
  Run();
  EXPECT_EQ(States(), "CANCELLED SUCCEEDED CANCELLED CANCELLED");
  EXPECT_EQ(service_.things["things/2"].state, PipelineState::kCancelled);
  EXPECT_THAT(service_.resources, SizeIs(2));

  ASSERT_OK(Do(&ResumePipeline));
  Run();
  Succeeds("things/2", "model");
  Succeeds("things/3", "file");
  EXPECT_EQ(States(), "SUCCEEDED SUCCEEDED SUCCEEDED SUCCEEDED");
}

TEST_F(PipelineTest, WhatACallCreatedBeforeTheCancelIsFoundAndCancelled) {
  service_.lose_answers = 1;
  clock_.Advance(absl::Seconds(3));
  ASSERT_OK(runner_.RunOne());  // marks the step
  ASSERT_OK(runner_.RunOne());  // creates, and does not hear of it
  ASSERT_OK(Do(&CancelPipeline));
  Run();
  EXPECT_EQ(States(), "CANCELLED CANCELLED CANCELLED CANCELLED");
  EXPECT_EQ(service_.things["things/1"].state, PipelineState::kCancelled);
}

TEST_F(PipelineTest, SomebodyElsesCancelFailsTheStepAndWaitingIsSaid) {
  Run();
  service_.things["things/1"] = {PipelineState::kRunning, "it is paused; resume it"};
  Run();
  EXPECT_EQ(Get().steps[0].error, "it is paused; resume it");
  service_.things["things/1"] = {};
  Run();
  EXPECT_EQ(Get().steps[0].error, "");
  service_.things["things/1"] = {PipelineState::kCancelled, ""};
  Run();
  EXPECT_EQ(States(), "FAILED FAILED PENDING PENDING");
  EXPECT_EQ(Get().steps[0].error, "things/1 was cancelled");
}

TEST_F(PipelineTest, VerbsWorkOnlyWhereTheyMakeSense) {
  EXPECT_OK(Do(&ResumePipeline));  // it runs
  Run();
  Succeeds("things/1", "a");
  Succeeds("things/2", "b");
  Succeeds("things/3", "c");
  EXPECT_THAT(Do(&CancelPipeline), HasReasonThat("STATE_INVALID"));
  EXPECT_THAT(Do(&ResumePipeline), HasReasonThat("STATE_INVALID"));
  EXPECT_THAT(runner_.RunOne(), IsOkAndHolds(false));
}

TEST_F(PipelineTest, AFindingOfAnEarlierAttemptChangesNothing) {
  Run();
  Pipeline pipeline = Get();
  EXPECT_FALSE(StepEnded(pipeline, 0, 2, PipelineState::kFailed, "late"));
  EXPECT_FALSE(StepCreated(pipeline, 0, 1, "another"));
  EXPECT_FALSE(StepBegun(pipeline, 0, 1));
  EXPECT_FALSE(StepGoesOn(pipeline, 0, 1, true));
  EXPECT_TRUE(StepEnded(pipeline, 0, 1, PipelineState::kFailed, ""));
  EXPECT_NE(pipeline.steps[0].error, "");
}

TEST(CheckPipelineTest, NamesWhatIsWrong) {
  Pipeline pipeline;
  EXPECT_THAT(CheckPipeline(pipeline).ToString(), HasSubstr("pipeline.steps has 0 entries"));
  PipelineStep step;
  step.id = "train";
  step.resource = "{\"a\": \"{{steps.export.output}}\"}";
  pipeline.steps = {step};
  EXPECT_THAT(CheckPipeline(pipeline).ToString(), HasSubstr("no earlier step has the id 'export'"));
  pipeline.steps[0].resource = "{\"a\": \"{{steps.x.name}}\"}";
  EXPECT_THAT(CheckPipeline(pipeline).ToString(), HasSubstr("a reference is"));
  pipeline.steps[0].resource = "[1]";
  EXPECT_THAT(CheckPipeline(pipeline).ToString(), HasSubstr("steps[0].resource is required"));
  pipeline.steps[0].resource = "{\"a\": \"{{user.name}}\"}";  // not ours
  EXPECT_OK(CheckPipeline(pipeline));
  pipeline.steps.push_back(pipeline.steps[0]);
  EXPECT_THAT(CheckPipeline(pipeline).ToString(), HasSubstr("'train' is taken"));
  pipeline.steps[1].id = "Train it";
  EXPECT_THAT(CheckPipeline(pipeline).ToString(), HasSubstr("steps[1].id is 'Train it'"));
}

TEST(CheckPipelineTest, AKindThatNobodyServesIsSaidAtOnce) {
  Pipeline pipeline;
  pipeline.steps.resize(1);
  pipeline.steps[0].kind = StepKind::kEvaluationRun;
  EXPECT_THAT(CheckSteps({}, pipeline), HasReasonThat("DEPENDENCY_MISSING"));
  FakeStepService service;
  service.check = absl::InvalidArgumentError("is not a Run");
  EXPECT_THAT(CheckSteps({{StepKind::kEvaluationRun, &service}}, pipeline).ToString(),
              HasSubstr("pipeline.steps[0].resource: is not a Run"));
  service.check = absl::OkStatus();
  service.names = absl::NotFoundError("no such suite");
  EXPECT_OK(CheckSteps({{StepKind::kEvaluationRun, &service}}, pipeline));
  EXPECT_THAT(CheckSteps({{StepKind::kEvaluationRun, &service}}, pipeline, true).ToString(),
              HasSubstr("pipeline.steps[0].resource: no such suite"));
}

}  // namespace
}  // namespace crossover::scheduler
