#include "services/training_scheduler/domain/job_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const BaseFacts kBase{.digest = "sha256:b",
                      .architecture = "llama",
                      .hidden_size = 576,
                      .context_length = 8192,
                      .parameters = 134'515'008,
                      .tokenizer_digest = "sha256:t",
                      .template_digest = "sha256:c"};
const DatasetFacts kVersion{.artifact_digest = "sha256:d",
                            .train_rows = 2000,
                            .validation_rows = 250,
                            .test_rows = 100,
                            .content_bytes = 0};

TEST(JobSpecTest, AnEmptySpecResolvesToTheDefaultsAndSaysWhy) {
  const ResolvedSpec spec = Resolve({}, kBase, kVersion);
  EXPECT_EQ(spec.rank, 16);
  EXPECT_EQ(spec.alpha, 32);
  EXPECT_EQ(spec.batch_size, 8);
  EXPECT_EQ(spec.epochs, 2);
  EXPECT_EQ(spec.steps, 500);
  EXPECT_EQ(spec.warmup_steps, 25);
  EXPECT_EQ(spec.checkpoint_every, 50);
  EXPECT_EQ(spec.eval_every, 62);
  EXPECT_EQ(spec.targets.size(), 7u);
  EXPECT_EQ(spec.template_date, kDefaultTemplateDate);
  EXPECT_DOUBLE_EQ(spec.learning_rate, 1e-3);  // the formula gives 1.32e-3, above the cap
  EXPECT_FALSE(spec.sources.at("adapter.r").given);
  EXPECT_THAT(spec.sources.at("adapter.r").rule, HasSubstr("16"));
}

TEST(JobSpecTest, WhatIsGivenIsKeptAndMarkedAsGiven) {
  TrainingSpec given;
  given.learning_rate = 8e-4;
  given.epochs = 1;
  given.rank = 4;
  const ResolvedSpec spec = Resolve(given, kBase, kVersion);
  EXPECT_EQ(spec.learning_rate, 8e-4);
  EXPECT_EQ(spec.steps, 250);
  EXPECT_EQ(spec.alpha, 32);
  EXPECT_TRUE(spec.sources.at("learning_rate").given);
}

TEST(JobSpecTest, TheMultiplierScalesTheAutoRateOfALargerModel) {
  BaseFacts large = kBase;
  large.hidden_size = 4096;
  TrainingSpec given;
  given.learning_rate_multiplier = 2;
  const double plain = Resolve({}, large, kVersion).learning_rate;
  EXPECT_NEAR(plain, 5e-4 * 0.5712, 1e-6);  // (2000/4096)^0.781
  EXPECT_DOUBLE_EQ(Resolve(given, large, kVersion).learning_rate, 2 * plain);
}

TEST(JobSpecTest, ShortRunsAndPreferencesHaveRatesOfTheirOwn) {
  BaseFacts large = kBase;
  large.hidden_size = 4096;
  TrainingSpec brief;
  brief.max_steps = 99;
  const double rate = Resolve({}, large, kVersion).learning_rate;
  EXPECT_NEAR(Resolve(brief, large, kVersion).learning_rate, 1.5 * rate, 1e-12);
  brief.max_steps = 100;
  EXPECT_EQ(Resolve(brief, large, kVersion).learning_rate, rate);
  const ResolvedSpec preference = Resolve({}, large, kVersion, Objective::kPreference);
  EXPECT_NEAR(preference.learning_rate, rate / 40, 1e-12);
  EXPECT_EQ(preference.epochs, 1);
  EXPECT_EQ(preference.preference_beta, 0.1);
  EXPECT_THAT(preference.sources.at("learning_rate").rule, HasSubstr("/ 40"));
}

TEST(JobSpecTest, TheScaleOfAnAdapterDoesNotDependOnHowItIsStabilisedAtRank16) {
  TrainingSpec given;
  given.rank_stabilised = true;
  EXPECT_EQ(Resolve(given, kBase, kVersion).alpha, 8);
  given.rank = 64;
  EXPECT_EQ(Resolve(given, kBase, kVersion).alpha, 8);
}

TEST(JobSpecTest, WhatAnotherObjectiveTakesIsRefused) {
  TrainingSpec given;
  given.preference_beta = 0.2;
  given.distil_weight = 0.3;
  given.kl_weight = 0.1;
  given.teacher_logits = "sha256:x";
  const auto fields = [&](Objective objective) {
    std::vector<std::string> names;
    for (const FieldViolation& violation : CheckRanges(given, objective)) {
      names.push_back(violation.field.substr(std::string("spec.training.").size()));
    }
    return names;
  };
  EXPECT_THAT(fields(Objective::kSupervised),
              ElementsAre("preference_beta", "distil_weight", "teacher_logits"));
  EXPECT_THAT(fields(Objective::kPreference),
              ElementsAre("distil_weight", "kl_weight", "teacher_logits"));
  EXPECT_THAT(fields(Objective::kDistil), ElementsAre("preference_beta", "teacher_logits"));
}

TEST(JobSpecTest, FewRowsGetMoreEpochs) {
  DatasetFacts few = kVersion;
  few.train_rows = 100;
  EXPECT_EQ(Resolve({}, kBase, few).epochs, 4);
  few.train_rows = 600;
  EXPECT_EQ(Resolve({}, kBase, few).epochs, 3);
}

TEST(JobSpecTest, WithoutAValidationSplitATenthOfTheTrainRowsIsSetAsideAtMost64) {
  DatasetFacts data = kVersion;
  data.validation_rows = 0;
  const ResolvedSpec spec = Resolve({}, kBase, data);
  EXPECT_EQ(spec.validation_rows, 64);
  EXPECT_EQ(spec.train_rows, 1936);
  data.train_rows = 400;
  EXPECT_EQ(Resolve({}, kBase, data).validation_rows, 40);
  TrainingSpec none;
  none.validation_fraction = 0.0;
  EXPECT_EQ(Resolve(none, kBase, data).early_stop_patience, 0);
}

TEST(JobSpecTest, RowAndStepLimitsShortenTheRun) {
  TrainingSpec given;
  given.max_rows = 80;
  given.epochs = 3;
  EXPECT_EQ(Resolve(given, kBase, kVersion).steps, 30);
  given.max_steps = 7;
  EXPECT_EQ(Resolve(given, kBase, kVersion).steps, 7);
}

TEST(JobSpecTest, EveryFieldOutOfRangeIsNamedWithWhatWouldBeRight) {
  TrainingSpec wrong;
  wrong.epochs = 51;
  wrong.batch_size = 0;
  wrong.learning_rate = -1;
  wrong.rank = 1000;
  wrong.techniques.dropout = 0.95;
  wrong.targets = {"q_proj", "lm_head"};
  wrong.max_rows = 9;
  wrong.suffix = std::string(65, 'x');
  std::vector<std::string> fields;
  for (const FieldViolation& violation : CheckRanges(wrong)) {
    fields.push_back(violation.field);
    EXPECT_THAT(violation.description, ::testing::Not(IsEmpty()));
  }
  EXPECT_THAT(fields, ElementsAre("spec.training.adapter.r", "spec.training.adapter.targets",
                                  "spec.training.adapter.dropout", "spec.training.learning_rate",
                                  "spec.training.batch_size", "spec.training.epochs",
                                  "spec.training.max_rows", "spec.training.suffix"));
}

TEST(JobSpecTest, NotANumberIsOutOfEveryRange) {
  TrainingSpec wrong;
  wrong.learning_rate = std::numeric_limits<double>::quiet_NaN();
  wrong.weight_decay = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(CheckRanges(wrong).size(), 2u);
}

}  // namespace
}  // namespace crossover::scheduler
