#include "services/shadow_router/tuning/job_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/testing/matchers.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;
using scheduler::v1::Job;
using ::testing::HasSubstr;

absl::StatusOr<TuningRequest> Parse(const Json& extra) {
  Json body = {{"model", "smollm2"}, {"training_file", "file-a"}};
  body.update(extra);
  return ParseTuningRequest(body.dump());
}

TEST(JobRequestTest, AutoAndNullAreTheSameAsAbsent) {
  ASSERT_OK_AND_ASSIGN(
      TuningRequest request,
      Parse(
          {{"validation_file", nullptr},
           {"suffix", nullptr},
           {"seed", nullptr},
           {"integrations", nullptr},
           {"metadata", nullptr},
           {"hyperparameters", {{"n_epochs", "auto"}, {"batch_size", "auto"}}},
           {"method", {{"type", "supervised"}, {"supervised", {{"hyperparameters", nullptr}}}}}}));
  EXPECT_EQ(request.job.kind(), Job::SFT);
  EXPECT_EQ(request.job.spec().training().ShortDebugString(), "");
  EXPECT_EQ(request.validation_file, "");
}

TEST(JobRequestTest, BothFormsOfHyperparametersAreRead) {
  ASSERT_OK_AND_ASSIGN(
      TuningRequest old_form,
      Parse({{"hyperparameters",
              {{"n_epochs", 3}, {"batch_size", 8}, {"learning_rate_multiplier", 0.5}}}}));
  EXPECT_EQ(old_form.job.spec().training().epochs(), 3);
  EXPECT_EQ(old_form.job.spec().training().batch_size(), 8);
  EXPECT_EQ(old_form.job.spec().training().learning_rate_multiplier(), 0.5);
  ASSERT_OK_AND_ASSIGN(
      TuningRequest dpo,
      Parse({{"method",
              {{"type", "dpo"}, {"dpo", {{"hyperparameters", {{"beta", 2}, {"n_epochs", 1}}}}}}},
             {"suffix", "acme"},
             {"seed", 2147483647},
             {"metadata", {{"team", "legal"}}}}));
  EXPECT_TRUE(dpo.preference);
  EXPECT_EQ(dpo.job.kind(), Job::PREFERENCE);
  EXPECT_EQ(dpo.job.spec().training().preference_beta(), 2);
  EXPECT_EQ(dpo.job.spec().training().suffix(), "acme");
  EXPECT_EQ(dpo.job.labels().at("team"), "legal");
}

TEST(JobRequestTest, ASuffixOfAnyCharactersIsPassedOnAsItIs) {
  std::string umlauts;
  for (int i = 0; i < 64; ++i) umlauts += "\xC3\xA4";
  for (const std::string& suffix : {std::string("my_model"), std::string("Legal"), umlauts}) {
    ASSERT_OK_AND_ASSIGN(const TuningRequest request, Parse({{"suffix", suffix}}));
    EXPECT_EQ(request.job.spec().training().suffix(), suffix);
  }
}

TEST(JobRequestTest, WhatIsWrongIsNamedAsTheContractCallsIt) {
  const std::pair<Json, const char*> wrong[] = {
      {{{"model", nullptr}}, "model"},
      {{{"training_file", ""}}, "training_file"},
      {{{"validation_file", "file-a"}}, "validation_file"},
      {{{"suffix", ""}}, "suffix"},
      {{{"suffix", std::string(65, 'a')}}, "suffix"},
      {{{"seed", -1}}, "seed"},
      {{{"seed", 1.5}}, "seed"},
      {{{"metadata", {{"k", 1}}}}, "metadata.k"},
      {{{"metadata", {{std::string(65, 'k'), "v"}}}}, "metadata"},
      {{{"metadata", {{"crossover.dev/training-file", "v"}}}}, "metadata"},
      {{{"integrations", {{{"type", "wandb"}}}}}, "integrations"},
      {{{"learning_rate", 1}}, "learning_rate"},
      {{{"hyperparameters", {{"n_epochs", 0}}}}, "hyperparameters.n_epochs"},
      {{{"hyperparameters", {{"n_epochs", 51}}}}, "hyperparameters.n_epochs"},
      {{{"hyperparameters", {{"n_epochs", 1.5}}}}, "hyperparameters.n_epochs"},
      {{{"hyperparameters", {{"batch_size", 257}}}}, "hyperparameters.batch_size"},
      {{{"hyperparameters", {{"learning_rate_multiplier", 0}}}},
       "hyperparameters.learning_rate_multiplier"},
      {{{"hyperparameters", {{"beta", 0.1}}}}, "hyperparameters.beta"},
      {{{"method", {{"type", "reinforcement"}}}}, "method.type"},
      {{{"method", {{"type", "dpo"}, {"dpo", {{"hyperparameters", {{"beta", 3}}}}}}}},
       "method.dpo.hyperparameters.beta"},
      {{{"method", {{"type", "dpo"}, {"supervised", Json::object()}}}}, "method.supervised"},
  };
  for (const auto& [extra, field] : wrong) {
    const absl::Status status = Parse(extra).status();
    ASSERT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << extra;
    EXPECT_EQ(DetailOf(status).violations[0].field, field) << extra;
    EXPECT_THAT(status.ToString(), HasSubstr(field));
  }
  EXPECT_THAT(ParseTuningRequest("[]"), HasReasonThat("FORMAT_INVALID"));
  Json metadata = Json::object();
  for (int i = 0; i < 17; ++i) metadata[absl::StrCat("k", i)] = "v";
  EXPECT_THAT(Parse({{"metadata", metadata}}).status().ToString(), HasSubstr("at most 16"));
}

TEST(JobRequestTest, TheSchedulersFieldsGetTheNamesOfTheContract) {
  const absl::Status status = InOpenAiTerms(
      Error(absl::StatusCode::kInvalidArgument, "spec.training.epochs is 99; must be at most 50",
            {.reason = "FIELD_INVALID",
             .metadata = {},
             .violations = {{"spec.training.epochs", "is 99"}}}));
  EXPECT_THAT(status.ToString(), HasSubstr("hyperparameters.n_epochs is 99"));
  EXPECT_EQ(DetailOf(status).violations[0].field, "hyperparameters.n_epochs");
  EXPECT_EQ(DetailOf(InOpenAiTerms(Error(absl::StatusCode::kInvalidArgument, "no base_model",
                                         {.reason = "BASE_MODEL_UNKNOWN",
                                          .metadata = {},
                                          .violations = {{"base_model", "x"}}})))
                .violations[0]
                .field,
            "model");
}

}  // namespace
}  // namespace crossover::router
