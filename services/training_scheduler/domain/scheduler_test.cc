#include "services/training_scheduler/domain/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/waiting.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;

const char kData[] = "projects/default/datasets/clauses/versions/sha256:1";

class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest() {
    ModelVersion base;
    base.project = "default";
    base.model = "smollm2-135m-instruct";
    base.alias = base.model;
    base.digest = "sha256:base";
    base.architecture = "llama";
    base.hidden_size = 576;
    base.context_length = 8192;
    base.parameters = 134'515'008;
    EXPECT_OK(models_.Register(base));
    datasets_.datasets[kData] = {.artifact_digest = "sha256:data",
                                 .train_rows = 2000,
                                 .validation_rows = 250,
                                 .test_rows = 250,
                                 .content_bytes = 1'400'000};
  }

  Job Draft() {
    Job job;
    job.project = "default";
    job.base_model = "smollm2-135m-instruct";
    job.dataset_version = kData;
    return job;
  }

  std::string Explained(Job job) {
    EXPECT_OK(Explain(jobs_, {&job, 1}));
    return job.state_reason;
  }

  FakeClock clock_;
  FakeRandom random_;
  FakeModelStore models_{clock_};
  FakeJobStore jobs_{clock_, models_};
  FakeDatasetCatalog datasets_;
  Planner planner_{jobs_, models_, datasets_, clock_};
  UuidGenerator ids_{clock_, random_};
  Scheduler scheduler_{jobs_, planner_, ids_};
};

TEST_F(SchedulerTest, AGoodJobIsQueuedWithItsNumbersFrozen) {
  ASSERT_OK_AND_ASSIGN(Job job, scheduler_.Create(Draft(), {}, false));
  EXPECT_EQ(job.state, JobState::kQueued);
  EXPECT_EQ(job.resolved.steps, 500);
  EXPECT_EQ(job.inputs.base_digest, "sha256:base");
  EXPECT_EQ(job.inputs.dataset_digest, "sha256:data");
  EXPECT_GT(job.estimate.seconds, 0);
  EXPECT_THAT(job.estimate.basis, HasSubstr("rule of thumb"));
  EXPECT_EQ(job.id.size(), 26u);
}

TEST_F(SchedulerTest, AnUnknownBaseModelIsNamedWithThoseThatExist) {
  Job draft = Draft();
  draft.base_model = "gpt-5";
  const absl::Status status = scheduler_.Create(draft, {}, false).status();
  EXPECT_THAT(status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("smollm2-135m-instruct")));
  EXPECT_THAT(status, HasReasonThat("BASE_MODEL_UNKNOWN"));
  EXPECT_EQ(DetailOf(status).violations.at(0).field, "base_model");
}

TEST_F(SchedulerTest, WhereThereIsNoBaseModelOneIsToldHowToGetOne) {
  ASSERT_OK(models_.DeleteVersion("default", "smollm2-135m-instruct", "sha256:base"));
  const absl::Status status = scheduler_.Create(Draft(), {}, false).status();
  EXPECT_THAT(status, HasReasonThat("BASE_MODEL_UNKNOWN"));
  EXPECT_THAT(status.ToString(), HasSubstr("crossover models import NAME --gguf FILE"));
  EXPECT_THAT(status.ToString(), ::testing::Not(HasSubstr("known are: ")));
}

TEST_F(SchedulerTest, EmptyAndTooSmallDataSetsAreRefusedWithTheirNumbers) {
  datasets_.datasets[kData].train_rows = 9;
  const absl::Status nine = scheduler_.Create(Draft(), {}, false).status();
  EXPECT_THAT(nine, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has 9 rows")));
  EXPECT_THAT(nine, HasReasonThat("TOO_FEW_ROWS"));
  datasets_.datasets[kData].train_rows = 0;
  EXPECT_THAT(scheduler_.Create(Draft(), {}, false),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no rows")));
  datasets_.datasets.clear();
  EXPECT_THAT(scheduler_.Create(Draft(), {}, false), HasReasonThat("DATASET_VERSION_UNKNOWN"));
}

TEST_F(SchedulerTest, AllWrongFieldsAreToldAtOnceAndNothingIsStored) {
  Job draft = Draft();
  draft.base_model = "gpt-5";
  draft.spec.training.epochs = 99;
  draft.priority = 1000;
  const absl::Status status = scheduler_.Create(draft, {}, false).status();
  EXPECT_EQ(DetailOf(status).violations.size(), 3u);
  EXPECT_TRUE(jobs_.List({.project = "default", .filter = {}, .after = ""})->empty());
}

TEST_F(SchedulerTest, ValidateOnlyAnswersWithTheResolvedSpecAndStoresNothing) {
  ASSERT_OK_AND_ASSIGN(Job job, scheduler_.Create(Draft(), {}, true));
  EXPECT_EQ(job.resolved.rank, 16);
  EXPECT_TRUE(jobs_.List({.project = "default", .filter = {}, .after = ""})->empty());
}

TEST_F(SchedulerTest, PreferenceAndDistillationJobsAreTrainingsWithTheirOwnNumbers) {
  Job draft = Draft();
  draft.kind = JobKind::kPreference;
  draft.spec.training.preference_beta = 0.3;
  ASSERT_OK_AND_ASSIGN(Job preference, scheduler_.Create(draft, {}, false));
  EXPECT_EQ(preference.state, JobState::kQueued);
  EXPECT_EQ(preference.resolved.objective, Objective::kPreference);
  EXPECT_EQ(preference.resolved.preference_beta, 0.3);
  draft.kind = JobKind::kDistil;
  EXPECT_THAT(scheduler_.Create(draft, {}, false),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("kind PREFERENCE")));
  draft.spec.training.preference_beta.reset();
  ASSERT_OK_AND_ASSIGN(Job distil, scheduler_.Create(draft, {}, false));
  EXPECT_EQ(distil.resolved.distil_weight, 0.5);
}

TEST_F(SchedulerTest, ASweepHasAllItsTrialsFrozenAndTheSumOfTheirSteps) {
  Job draft = Draft();
  draft.kind = JobKind::kSweep;
  draft.spec.training.adam_beta2 = 0.99;
  draft.spec.sweep.axes = {{"epochs", {"1", "2"}}, {"learning_rate", {"1e-4", "1e-3"}}};
  ASSERT_OK_AND_ASSIGN(Job job, scheduler_.Create(draft, {}, false));
  ASSERT_EQ(job.resolved.trials.size(), 4u);
  EXPECT_EQ(job.resolved.trials[3].spec.learning_rate, 1e-3);
  EXPECT_EQ(job.resolved.trials[3].spec.adam_beta2, 0.99);
  EXPECT_EQ(job.resolved.steps, 2 * 250 + 2 * 500);
  EXPECT_EQ(job.progress.steps, 1500);
  EXPECT_TRUE(job.resolved.median_stop);
  EXPECT_THAT(job.estimate.basis, HasSubstr("4 trials"));
  draft.spec.sweep.axes = {{"epochs", {"1", "99"}}};
  const absl::Status range = scheduler_.Create(draft, {}, false).status();
  EXPECT_THAT(range, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("trial 2")));
  draft.spec.sweep.axes = {{"epochs", {"1"}}};
  datasets_.datasets[kData].validation_rows = 0;
  draft.spec.training.validation_fraction = 0;
  EXPECT_THAT(scheduler_.Create(draft, {}, false),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no validation rows")));
}

TEST_F(SchedulerTest, AForecastOfTheRowsIsTheEstimateAndTheLongestRowTheLength) {
  FakeForecaster forecaster;
  forecaster.answer = TrainingForecast{.tokens = 5000,
                                       .longest_row = 300,
                                       .all_rows = true,
                                       .work = 5e12,
                                       .peak_memory_bytes = 1 << 30};
  Planner planner(jobs_, models_, datasets_, clock_, &forecaster);
  Scheduler scheduler(jobs_, planner, ids_);
  ASSERT_OK_AND_ASSIGN(Job job, scheduler.Create(Draft(), {}, true));
  EXPECT_EQ(job.estimate.tokens, 5000);
  EXPECT_EQ(job.estimate.peak_memory_bytes, 1 << 30);
  EXPECT_EQ(job.estimate.work, 5e12);
  EXPECT_EQ(job.resolved.max_length, 300);
  EXPECT_EQ(job.resolved.sources.at("max_length").rule, "the longest row");
  Job given = Draft();
  given.spec.training.max_length = 299;
  EXPECT_THAT(scheduler.Create(given, {}, false), HasReasonThat("ROW_TOO_LONG"));
  given.spec.training.max_length = 400;
  EXPECT_EQ(scheduler.Create(given, {}, true)->resolved.max_length, 400);
  forecaster.answer->all_rows = false;  // a sample says nothing of the others
  EXPECT_EQ(scheduler.Create(Draft(), {}, true)->resolved.max_length, 8192);
  forecaster.answer = Error(absl::StatusCode::kInvalidArgument, "ROW_WITHOUT_REJECTED", "row x");
  EXPECT_THAT(scheduler.Create(Draft(), {}, false), HasReasonThat("ROW_WITHOUT_REJECTED"));
  forecaster.answer = Error(absl::StatusCode::kInvalidArgument, "no such layer",
                            {.reason = "FIELD_INVALID",
                             .metadata = {},
                             .violations = {{"spec.training.adapter.layers", "names layer 30"}}});
  EXPECT_THAT(scheduler.Create(Draft(), {}, true),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("spec.training.adapter.layers names layer 30")));
  forecaster.answer = absl::NotFoundError("the blob lies elsewhere");
  ASSERT_OK_AND_ASSIGN(Job blind, scheduler.Create(Draft(), {}, true));
  EXPECT_THAT(blind.estimate.basis, HasSubstr("rule of thumb"));
}

TEST_F(SchedulerTest, TheSameRequestIdGivesTheSameJobAndAnotherPayloadIsRefused) {
  ASSERT_OK_AND_ASSIGN(Job first, scheduler_.Create(Draft(), {"r-1", "hash-a"}, false));
  ASSERT_OK_AND_ASSIGN(Job again, scheduler_.Create(Draft(), {"r-1", "hash-a"}, false));
  EXPECT_EQ(first.id, again.id);
  EXPECT_THAT(scheduler_.Create(Draft(), {"r-1", "hash-b"}, false),
              HasReasonThat("REQUEST_ID_REUSED"));
}

TEST_F(SchedulerTest, WhenTheCatalogueIsAwayTheJobWaitsInValidatingAndIsTendedLater) {
  datasets_.unavailable = true;
  ASSERT_OK_AND_ASSIGN(Job job, scheduler_.Create(Draft(), {}, false));
  EXPECT_EQ(job.state, JobState::kValidating);
  EXPECT_OK(scheduler_.Tend(job.id, {}));
  EXPECT_EQ(jobs_.Get(job.id)->state, JobState::kValidating);
  datasets_.unavailable = false;
  EXPECT_OK(scheduler_.Tend(job.id, {}));
  EXPECT_EQ(jobs_.Get(job.id)->state, JobState::kQueued);
}

TEST_F(SchedulerTest, AJobThatProvesInvalidLaterFailsWithTheFieldNamed) {
  datasets_.unavailable = true;
  ASSERT_OK_AND_ASSIGN(Job job, scheduler_.Create(Draft(), {}, false));
  datasets_.unavailable = false;
  datasets_.datasets.clear();
  EXPECT_OK(scheduler_.Tend(job.id, {}));
  ASSERT_OK_AND_ASSIGN(Job failed, jobs_.Get(job.id));
  EXPECT_EQ(failed.state, JobState::kFailed);
  EXPECT_EQ(failed.error->error_class, ErrorClass::kUser);
  EXPECT_THAT(failed.error->message, HasSubstr("dataset_version"));
  EXPECT_TRUE(failed.finish_time.has_value());
}

TEST_F(SchedulerTest, AJobWaitsForItsDependencyAndItsStartTime) {
  ASSERT_OK_AND_ASSIGN(Job first, scheduler_.Create(Draft(), {}, false));
  Job draft = Draft();
  draft.depends_on = {first.id};
  ASSERT_OK_AND_ASSIGN(Job second, scheduler_.Create(draft, {}, false));
  EXPECT_EQ(second.state, JobState::kBlocked);
  EXPECT_OK(scheduler_.Tend(second.id, {}));
  EXPECT_EQ(jobs_.Get(second.id)->state, JobState::kBlocked);
  EXPECT_OK(scheduler_.CancelJob("default", first.id, "changed my mind"));
  EXPECT_OK(scheduler_.Tend(second.id, {}));
  EXPECT_EQ(jobs_.Get(second.id)->state, JobState::kFailed);
  EXPECT_EQ(jobs_.Get(second.id)->error->reason, "DEPENDENCY_FAILED");

  draft.depends_on.clear();
  draft.start_time = clock_.Now() + absl::Minutes(5);
  ASSERT_OK_AND_ASSIGN(Job third, scheduler_.Create(draft, {}, false));
  EXPECT_EQ(third.state, JobState::kBlocked);
  clock_.Advance(absl::Minutes(6));
  EXPECT_OK(scheduler_.Tend(third.id, {}));
  EXPECT_EQ(jobs_.Get(third.id)->state, JobState::kQueued);
}

TEST_F(SchedulerTest, VerbsAreRepeatableAndRefuseWrongStatesByName) {
  ASSERT_OK_AND_ASSIGN(Job job, scheduler_.Create(Draft(), {}, false));
  EXPECT_OK(scheduler_.PauseJob("default", job.id, ""));
  EXPECT_OK(scheduler_.PauseJob("default", job.id, ""));
  EXPECT_EQ(jobs_.Get(job.id)->state, JobState::kPaused);
  EXPECT_OK(scheduler_.ResumeJob("default", job.id));
  EXPECT_OK(scheduler_.CancelJob("default", job.id, ""));
  EXPECT_OK(scheduler_.CancelJob("default", job.id, ""));
  const absl::Status late = scheduler_.PauseJob("default", job.id, "").status();
  EXPECT_THAT(late, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is CANCELLED")));
  EXPECT_THAT(late, HasReasonThat("STATE_INVALID"));
  EXPECT_OK(scheduler_.RetryJob("default", job.id));
  EXPECT_EQ(jobs_.Get(job.id)->state, JobState::kQueued);
}

TEST_F(SchedulerTest, ARetriedJobWaitsForItsDependenciesAndIsRefusedWhileOneHasFailed) {
  ASSERT_OK_AND_ASSIGN(Job first, scheduler_.Create(Draft(), {}, false));
  Job draft = Draft();
  draft.depends_on = {first.id};
  ASSERT_OK_AND_ASSIGN(Job second, scheduler_.Create(draft, {}, false));
  ASSERT_OK(scheduler_.CancelJob("default", second.id, ""));
  ASSERT_OK_AND_ASSIGN(Job waiting, scheduler_.RetryJob("default", second.id));
  EXPECT_EQ(waiting.state, JobState::kBlocked);
  EXPECT_OK(scheduler_.RetryJob("default", second.id));  // a repeat
  ASSERT_OK(scheduler_.CancelJob("default", first.id, ""));
  ASSERT_OK(scheduler_.Tend(second.id, {}));
  EXPECT_THAT(scheduler_.RetryJob("default", second.id), HasReasonThat("DEPENDENCY_FAILED"));
  ASSERT_OK(scheduler_.RetryJob("default", first.id));
  ASSERT_OK_AND_ASSIGN(Job again, scheduler_.RetryJob("default", second.id));
  EXPECT_EQ(again.state, JobState::kBlocked);
}

TEST_F(SchedulerTest, ARetryWithARequestIdHappensOnce) {
  ASSERT_OK_AND_ASSIGN(Job job, scheduler_.Create(Draft(), {}, false));
  ASSERT_OK(scheduler_.CancelJob("default", job.id, ""));
  ASSERT_OK(scheduler_.RetryJob("default", job.id, {"r-1", "hash-a"}));
  ASSERT_OK(scheduler_.CancelJob("default", job.id, ""));
  ASSERT_OK_AND_ASSIGN(Job same, scheduler_.RetryJob("default", job.id, {"r-1", "hash-a"}));
  EXPECT_EQ(same.state, JobState::kCancelled);
  EXPECT_THAT(scheduler_.RetryJob("default", job.id, {"r-1", "hash-b"}),
              HasReasonThat("REQUEST_ID_REUSED"));
  ASSERT_OK_AND_ASSIGN(Job retried, scheduler_.RetryJob("default", job.id, {"r-2", "hash-a"}));
  EXPECT_EQ(retried.state, JobState::kQueued);
}

TEST_F(SchedulerTest, ARepeatedCreateGivesItsJobWhateverHasBecomeOfItsInputs) {
  ASSERT_OK_AND_ASSIGN(Job dependency, scheduler_.Create(Draft(), {}, false));
  Job draft = Draft();
  draft.depends_on = {dependency.id};
  ASSERT_OK_AND_ASSIGN(Job first, scheduler_.Create(draft, {"r-1", "hash-a"}, false));
  ASSERT_OK(scheduler_.CancelJob("default", dependency.id, ""));
  datasets_.datasets.clear();
  ASSERT_OK_AND_ASSIGN(Job again, scheduler_.Create(draft, {"r-1", "hash-a"}, false));
  EXPECT_EQ(again.id, first.id);
  EXPECT_THAT(scheduler_.Create(draft, {"r-1", "hash-b"}, false),
              HasReasonThat("REQUEST_ID_REUSED"));
}

TEST_F(SchedulerTest, AJobThatHasNotEndedByItsDeadlineFailsAndMayBeRetriedWithALaterOne) {
  Job draft = Draft();
  draft.deadline = clock_.Now();
  EXPECT_EQ(DetailOf(scheduler_.Create(draft, {}, false).status()).violations.at(0).field,
            "deadline");
  draft.deadline = clock_.Now() + absl::Minutes(5);
  ASSERT_OK_AND_ASSIGN(Job job, scheduler_.Create(draft, {}, false));
  ASSERT_OK(scheduler_.Tend(job.id, {}));
  EXPECT_EQ(jobs_.Get(job.id)->state, JobState::kQueued);
  clock_.Advance(absl::Minutes(6));
  EXPECT_EQ(jobs_.Due(10)->size(), 1u);
  ASSERT_OK(scheduler_.Tend(job.id, {}));
  ASSERT_OK_AND_ASSIGN(Job late, jobs_.Get(job.id));
  EXPECT_EQ(late.state, JobState::kFailed);
  EXPECT_EQ(late.error->reason, "JOB_DEADLINE_PASSED");
  EXPECT_THAT(scheduler_.RetryJob("default", job.id), HasReasonThat("JOB_DEADLINE_PASSED"));
  ASSERT_OK(jobs_.Update(job.id, [](Job& mine, absl::Time now, Effects&) {
    mine.deadline = now + absl::Hours(1);
    return absl::OkStatus();
  }));
  EXPECT_EQ(scheduler_.RetryJob("default", job.id)->state, JobState::kQueued);
}

TEST_F(SchedulerTest, AJobUsesWhatIsItsOwnProjectsAlone) {
  Job draft = Draft();
  draft.dataset_version = "projects/other/datasets/clauses/versions/sha256:1";
  datasets_.datasets[draft.dataset_version] = datasets_.datasets[kData];
  draft.task = "projects/other/tasks/clauses";
  draft.spec.training.initial_adapter = "sha256:theirs";
  const absl::Status status = scheduler_.Create(draft, {}, false).status();
  EXPECT_THAT(status, HasReasonThat("RESOURCE_FORBIDDEN"));
  std::vector<std::string> fields;
  for (const FieldViolation& violation : DetailOf(status).violations) {
    fields.push_back(violation.field);
  }
  EXPECT_THAT(fields,
              ::testing::ElementsAre("task", "spec.training.initial_adapter", "dataset_version"));
}

TEST_F(SchedulerTest, AJobOfAnotherProjectIsNotFound) {
  ASSERT_OK_AND_ASSIGN(Job job, scheduler_.Create(Draft(), {}, false));
  EXPECT_THAT(scheduler_.Get("other", job.id), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(scheduler_.CancelJob("other", job.id, ""), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SchedulerTest, OnlyAdaptersCanBeExported) {
  Job draft = Draft();
  draft.kind = JobKind::kExport;
  draft.spec.model_export = {"smollm2-135m-instruct", ExportFormat::kGgufF16};
  EXPECT_THAT(scheduler_.Create(draft, {}, false), HasReasonThat("MODEL_NOT_FOUND"));

  ModelVersion adapter;
  adapter.project = "default";
  adapter.model = "smollm2-135m-instruct-ft";
  adapter.digest = "sha256:adapter";
  adapter.kind = ModelKind::kAdapter;
  adapter.base_digest = "sha256:base";
  ASSERT_OK(models_.Register(adapter));
  draft.spec.model_export.adapter = "sha256:adapter";
  ASSERT_OK_AND_ASSIGN(Job job, scheduler_.Create(draft, {}, false));
  EXPECT_EQ(job.inputs.base_digest, "sha256:base");
  EXPECT_EQ(job.inputs.adapter_digest, "sha256:adapter");
}

TEST_F(SchedulerTest, KindsThatAreNotServedYetSaySo) {
  Job draft = Draft();
  draft.kind = JobKind::kScore;
  EXPECT_THAT(scheduler_.Create(draft, {}, false), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(SchedulerTest, AJobThatSeveralWorkersShareSaysHowManyOfThemAreIdle) {
  const auto see = [&](const std::string& name, int32_t gang, int64_t memory) {
    WorkerRecord worker;
    worker.name = name;
    worker.incarnation = "life";
    worker.capabilities.gang = gang;
    worker.capabilities.memory_bytes = memory;
    ASSERT_OK(jobs_.SawWorker(worker));
  };
  see("alone", 1, 0);
  see("busy", 2, 0);
  see("idle", 3, 100);
  see("small", 2, 99);
  ASSERT_OK_AND_ASSIGN(Job single, scheduler_.Create(Draft(), {}, false));
  EXPECT_EQ(Explained(single), single.state_reason);
  ASSERT_OK(jobs_.Claim(
      {.capabilities = {}, .ttl = absl::Seconds(30), .claimants = {{"busy", "life", "h"}}}));
  Job draft = Draft();
  draft.requirements = {.device = "", .memory_bytes = 100, .gang_size = 2};
  ASSERT_OK_AND_ASSIGN(Job shared, scheduler_.Create(draft, {}, false));
  EXPECT_EQ(
      Explained(shared),
      "validated; waits for 2 workers that are idle at once: 1 of 2 that can take it is idle");
  ASSERT_OK_AND_ASSIGN(shared, scheduler_.CancelJob("default", shared.id, ""));
  EXPECT_EQ(Explained(shared), shared.state_reason);
}

TEST_F(SchedulerTest, WorkersOfOtherProjectsDoNotCount) {
  WorkerRecord worker;
  worker.incarnation = "life";
  worker.capabilities.gang = 2;
  for (const char* name : {"a", "b"}) {
    worker.name = name;
    worker.only_project = "default";
    ASSERT_OK(jobs_.SawWorker(worker));
  }
  Job draft = Draft();
  draft.requirements.gang_size = 2;
  ASSERT_OK(scheduler_.Create(draft, {}, false));
  worker.incarnation = "next";
  worker.only_project = "other";
  ASSERT_OK(jobs_.SawWorker(worker));
  EXPECT_THAT(scheduler_.Create(draft, {}, false).status(), HasReasonThat("NO_CAPABLE_WORKER"));
}

TEST_F(SchedulerTest, AJobThatTooFewComputeInOneTypeIsRefusedOrSaysWhatItWaitsFor) {
  const auto see = [&](const std::string& name, std::vector<ComputeType> types) {
    WorkerRecord worker;
    worker.name = name;
    worker.incarnation = "life";
    worker.capabilities.gang = 2;
    worker.capabilities.compute_types = std::move(types);
    ASSERT_OK(jobs_.SawWorker(worker));
  };
  see("old", {ComputeType::kFloat32});
  see("new", {ComputeType::kBfloat16, ComputeType::kFloat32});
  Job draft = Draft();
  draft.requirements.gang_size = 2;
  const absl::Status refused = scheduler_.Create(draft, {}, false).status();
  EXPECT_THAT(refused, HasReasonThat("NO_CAPABLE_WORKER"));
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("of the 2 workers that train in gangs of that size, 1 compute in one"));
  Job of_float32 = draft;
  of_float32.spec.training.compute_type = ComputeType::kFloat32;
  EXPECT_OK(scheduler_.Create(of_float32, {}, false).status());
  see("newer", {ComputeType::kBfloat16, ComputeType::kFloat32});
  ASSERT_OK_AND_ASSIGN(Job shared, scheduler_.Create(draft, {}, false));
  EXPECT_EQ(Explained(shared),
            "validated; waits for 2 workers that are idle at once: 2 of 2 that can take it are "
            "idle (1 more "
            "compute in another number type, and a gang in one)");
}

TEST_F(SchedulerTest, AJobWaitsForWorkersOfATypeThatHasEnoughOfThem) {
  const auto see = [&](const std::string& name, ComputeType type) {
    WorkerRecord worker;
    worker.name = name;
    worker.incarnation = "life";
    worker.capabilities.gang = 2;
    worker.capabilities.compute_types = {type};
    ASSERT_OK(jobs_.SawWorker(worker));
  };
  see("old", ComputeType::kFloat32);
  see("older", ComputeType::kFloat32);
  see("new", ComputeType::kBfloat16);
  for (const char* name : {"old", "older"}) {
    ASSERT_OK(scheduler_.Create(Draft(), {}, false));
    ASSERT_OK(jobs_.Claim(
        {.capabilities = {}, .ttl = absl::Seconds(30), .claimants = {{name, "life", name}}}));
  }
  Job draft = Draft();
  draft.requirements.gang_size = 2;
  ASSERT_OK_AND_ASSIGN(Job shared, scheduler_.Create(draft, {}, false));
  EXPECT_EQ(Explained(shared),
            "validated; waits for 2 workers that are idle at once: 0 of 2 that can take it are "
            "idle (1 more compute in another number type, and a gang in one)");
}

TEST_F(SchedulerTest, FinishedJobsMakeTheNextEstimateAMeasuredOne) {
  ASSERT_OK_AND_ASSIGN(Job job, scheduler_.Create(Draft(), {}, false));
  ASSERT_OK(
      jobs_.Claim({.capabilities = {}, .ttl = absl::Seconds(30), .claimants = {{"w", "i", "h"}}}));
  ASSERT_OK(jobs_.Update(job.id, [](Job& mine, absl::Time now, Effects&) {
    mine.state = JobState::kSucceeded;
    mine.lease.reset();
    mine.finish_time = now;
    mine.actual.seconds = 1000;
    mine.actual.tokens = 500'000;
    return absl::OkStatus();
  }));
  ASSERT_OK_AND_ASSIGN(Plan plan, scheduler_.Estimate(Draft()));
  EXPECT_THAT(plan.validated.estimate.basis, HasSubstr("500 tokens/s"));
  EXPECT_NEAR(plan.validated.estimate.seconds, 4000 * 200 / 500.0, 10);
  // Windows of 8 rows: three workers wait for the one that has three of them.
  Job shared = Draft();
  shared.requirements.gang_size = 3;
  ASSERT_OK_AND_ASSIGN(const Plan of_three, scheduler_.Estimate(shared));
  EXPECT_NEAR(of_three.validated.estimate.seconds, plan.validated.estimate.seconds * 3 / 8, 1e-6);
  EXPECT_THAT(of_three.validated.estimate.basis, HasSubstr("shared by 3 workers"));
}

}  // namespace
}  // namespace crossover::scheduler
