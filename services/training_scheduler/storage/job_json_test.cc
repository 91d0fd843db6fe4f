#include "services/training_scheduler/storage/job_json.h"

#include <gtest/gtest.h>

#include <limits>

#include "common/testing/matchers.h"

namespace crossover::scheduler {
namespace {

TEST(JobJsonTest, ASpecComesBackAsItWasAndAbsentStaysAbsent) {
  JobSpec spec;
  spec.training.learning_rate = 8e-4;
  spec.training.targets = {"q_proj", "v_proj"};
  spec.training.schedule = Schedule::kLinear;
  spec.training.suffix = "clauses";
  spec.model_export = {"sha256:a", ExportFormat::kGgufQ8_0};
  JobSpec back;
  ASSERT_OK(SpecFromJson(SpecToJson(spec), back));
  EXPECT_EQ(back.training.learning_rate, 8e-4);
  EXPECT_EQ(back.training.targets, spec.training.targets);
  EXPECT_EQ(back.training.schedule, Schedule::kLinear);
  EXPECT_EQ(back.training.suffix, "clauses");
  EXPECT_EQ(back.model_export.format, ExportFormat::kGgufQ8_0);
  EXPECT_FALSE(back.training.rank.has_value());
  EXPECT_FALSE(back.training.loss_on.has_value());
}

TEST(JobJsonTest, ASweepAndItsTrialsComeBackAsTheyWere) {
  Job job;
  job.spec.training.preference_beta = 0.3;
  job.spec.sweep = {.axes = {{"epochs", {"1", "2.5"}}, {"schedule", {"\"LINEAR\""}}},
                    .max_trials = 2,
                    .objective = Objective::kPreference,
                    .median_stop = false};
  job.resolved.objective = Objective::kPreference;
  job.resolved.median_stop = true;
  job.resolved.trials.push_back({{{"epochs", "2.5"}}, {}});
  job.resolved.trials[0].spec.kl_weight = 0.25;
  job.resolved.trials[0].spec.steps = 17;
  Job back;
  ASSERT_OK(SpecFromJson(SpecToJson(job.spec), back.spec));
  ASSERT_OK(PlanFromJson(PlanToJson(job), back));
  EXPECT_EQ(back.spec.training.preference_beta, 0.3);
  ASSERT_EQ(back.spec.sweep.axes.size(), 2u);
  EXPECT_EQ(back.spec.sweep.axes[0].values, job.spec.sweep.axes[0].values);
  EXPECT_EQ(back.spec.sweep.max_trials, 2);
  EXPECT_EQ(back.spec.sweep.objective, Objective::kPreference);
  EXPECT_EQ(back.spec.sweep.median_stop, false);
  EXPECT_EQ(back.resolved.objective, Objective::kPreference);
  EXPECT_TRUE(back.resolved.median_stop);
  ASSERT_EQ(back.resolved.trials.size(), 1u);
  EXPECT_EQ(back.resolved.trials[0].values, job.resolved.trials[0].values);
  EXPECT_EQ(back.resolved.trials[0].spec.kl_weight, 0.25);
  EXPECT_EQ(back.resolved.trials[0].spec.steps, 17);
}

TEST(JobJsonTest, PlanAndReportComeBackAsTheyWere) {
  Job job;
  job.resolved = Resolve({}, {.architecture = "llama", .hidden_size = 576}, {.train_rows = 100});
  job.inputs = {"sha256:b", "sha256:d", ""};
  job.estimate.seconds = 12.5;
  job.progress.step = 7;
  job.progress.train_loss = 1.25;
  job.progress.eta = absl::Milliseconds(1500);
  job.outputs.adapter_digest = "sha256:a";
  job.error = JobError{ErrorClass::kInfrastructure, "DISK_FULL", "no room", "tail", "field"};
  job.log_tail = "line\n";
  job.line_time = absl::FromUnixMicros(1'764'540'000'000'001);
  Job back;
  ASSERT_OK(PlanFromJson(PlanToJson(job), back));
  ASSERT_OK(ReportFromJson(ReportToJson(job), back));
  EXPECT_EQ(back.resolved.learning_rate, job.resolved.learning_rate);
  EXPECT_EQ(back.resolved.targets.size(), 7u);
  EXPECT_EQ(back.resolved.sources.at("epochs").rule, job.resolved.sources.at("epochs").rule);
  EXPECT_EQ(back.inputs.dataset_digest, "sha256:d");
  EXPECT_EQ(back.estimate.seconds, 12.5);
  EXPECT_EQ(back.progress.train_loss, 1.25);
  EXPECT_FALSE(back.progress.valid_loss.has_value());
  EXPECT_EQ(back.progress.eta, absl::Milliseconds(1500));
  EXPECT_EQ(back.error->error_class, ErrorClass::kInfrastructure);
  EXPECT_EQ(back.error->field, "field");
  EXPECT_EQ(back.log_tail, "line\n");
  EXPECT_EQ(back.line_time, job.line_time);
}

TEST(JobJsonTest, TextThatIsNotUtf8AndNumbersThatAreNotFiniteDoNotBreakARow) {
  Job job;
  job.log_tail = "\xff\xfe broken";
  job.progress.train_loss = std::numeric_limits<double>::quiet_NaN();
  Job back;
  ASSERT_OK(ReportFromJson(ReportToJson(job), back));
  EXPECT_FALSE(back.progress.train_loss.has_value());
  NumberMap numbers;
  ASSERT_OK(NumbersFromJson(
      NumbersToJson({{"loss", std::numeric_limits<double>::infinity()}, {"lr", 0.5}}), numbers));
  EXPECT_EQ(numbers, (NumberMap{{"lr", 0.5}}));
}

TEST(JobJsonTest, NulIsReplacedAndABackslashBeforeItsDigitsIsNot) {
  Job job;
  job.log_tail = std::string("a\0b", 3) + R"(\u0000 \\u0000)" + std::string("\0\0", 2);
  const std::string text = ReportToJson(job);
  Job back;
  ASSERT_OK(ReportFromJson(text, back));
  EXPECT_EQ(back.log_tail,
            "a\xef\xbf\xbd"
            R"(b\u0000 \\u0000)"
            "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(JobJsonTest, UnknownNamesAreAnErrorAndUnknownKeysAreNot) {
  JobSpec spec;
  EXPECT_FALSE(SpecFromJson(R"({"schedule":"STEPS"})", spec).ok());
  EXPECT_OK(SpecFromJson(R"({"from_the_future":1})", spec));
  EXPECT_FALSE(SpecFromJson("[", spec).ok());
}

}  // namespace
}  // namespace crossover::scheduler
