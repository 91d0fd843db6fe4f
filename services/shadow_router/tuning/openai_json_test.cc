#include "services/shadow_router/tuning/openai_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;
using scheduler_pb::Job;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(5000);
constexpr char kId[] = "06bq3f00000000000000000000";

Job TrainedJob() {
  Job job;
  job.set_name(std::string("projects/default/jobs/") + kId);
  job.set_kind(Job::SFT);
  job.set_state(Job::SUCCEEDED);
  job.mutable_create_time()->set_seconds(1000);
  job.mutable_finish_time()->set_seconds(1100);
  job.set_base_model("smollm2");
  job.mutable_outputs()->set_model_alias("ft:smollm2:default:acme:00000000");
  job.mutable_outputs()->set_trained_tokens(420);
  auto& resolved = *job.mutable_resolved_spec()->mutable_training();
  resolved.set_epochs(3);
  resolved.set_batch_size(4);
  resolved.set_seed(7);
  (*job.mutable_labels())["team"] = "legal";
  (*job.mutable_labels())[kTrainingFileLabel] = "file-a";
  return job;
}

TEST(OpenAiJsonTest, AJobHasEveryFieldOfTheContractAndNullsWhereNothingIsSet) {
  const Json json = JobJson(TrainedJob(), kNow);
  EXPECT_EQ(json["id"], std::string("ftjob-") + kId);
  EXPECT_EQ(json["object"], "fine_tuning.job");
  EXPECT_EQ(json["created_at"], 1000);
  EXPECT_EQ(json["finished_at"], 1100);
  EXPECT_TRUE(json["estimated_finish"].is_null());
  EXPECT_EQ(json["status"], "succeeded");
  EXPECT_EQ(json["model"], "smollm2");
  EXPECT_EQ(json["fine_tuned_model"], "ft:smollm2:default:acme:00000000");
  EXPECT_EQ(json["organization_id"], "default");
  EXPECT_EQ(json["training_file"], "file-a");
  EXPECT_TRUE(json["validation_file"].is_null());
  EXPECT_EQ(json["result_files"], Json::array({std::string("file-res") + kId}));
  EXPECT_EQ(json["trained_tokens"], 420);
  EXPECT_EQ(json["hyperparameters"].dump(),
            R"({"batch_size":4,"learning_rate_multiplier":"auto","n_epochs":3})");
  EXPECT_EQ(json["method"]["type"], "supervised");
  EXPECT_EQ(json["method"]["supervised"]["hyperparameters"], json["hyperparameters"]);
  EXPECT_EQ(json["seed"], 7);
  EXPECT_EQ(json["integrations"], Json::array());
  EXPECT_EQ(json["metadata"], Json({{"team", "legal"}}));  // not our own labels
  EXPECT_TRUE(json["error"].is_null());
}

TEST(OpenAiJsonTest, StatesAreThoseOfTheContract) {
  const std::pair<Job::State, const char*> expected[] = {{Job::VALIDATING, "validating_files"},
                                                         {Job::BLOCKED, "queued"},
                                                         {Job::QUEUED, "queued"},
                                                         {Job::RUNNING, "running"},
                                                         {Job::PAUSING, "running"},
                                                         {Job::CANCELLING, "running"},
                                                         {Job::PAUSED, "paused"},
                                                         {Job::SUCCEEDED, "succeeded"},
                                                         {Job::FAILED, "failed"},
                                                         {Job::CANCELLED, "cancelled"}};
  Job job = TrainedJob();
  for (const auto& [state, status] : expected) {
    job.set_state(state);
    EXPECT_EQ(JobJson(job, kNow)["status"], status);
  }
}

// A job is written when its state changes, and its beats in between leave update_time alone.
TEST(OpenAiJsonTest, TheEstimatedFinishCountsFromNowAndNotFromTheLastChangeOfState) {
  FakeClock clock;
  Job job = TrainedJob();
  job.set_state(Job::RUNNING);
  job.clear_finish_time();
  job.mutable_update_time()->set_seconds(absl::ToUnixSeconds(clock.Now()));
  job.mutable_progress()->mutable_eta()->set_seconds(60);
  clock.Advance(absl::Hours(2));
  EXPECT_EQ(JobJson(job, clock.Now())["estimated_finish"], absl::ToUnixSeconds(clock.Now()) + 60);
  job.mutable_progress()->clear_eta();
  EXPECT_TRUE(JobJson(job, clock.Now())["estimated_finish"].is_null());
}

TEST(OpenAiJsonTest, AFailedJobSaysWhyAndAPreferenceJobIsDpo) {
  Job job = TrainedJob();
  job.set_kind(Job::PREFERENCE);
  job.set_state(Job::FAILED);
  job.mutable_error()->set_reason("LOSS_NOT_FINITE");
  job.mutable_error()->set_message("the loss is not finite");
  job.mutable_resolved_spec()->mutable_training()->set_preference_beta(0.5);
  const Json json = JobJson(job, kNow);
  EXPECT_EQ(json["error"]["code"], "LOSS_NOT_FINITE");
  EXPECT_TRUE(json["error"]["param"].is_null());
  EXPECT_TRUE(json["fine_tuned_model"].is_null());
  EXPECT_EQ(json["method"]["dpo"]["hyperparameters"]["beta"], 0.5);
}

TEST(OpenAiJsonTest, EventsAreNewestFirstAndMetricsCarryTheirNumbers) {
  std::vector<scheduler_pb::JobEvent> events(2);
  events[0].set_sequence(1);
  events[0].mutable_time()->set_seconds(10);
  events[0].set_message("created");
  events[1].set_sequence(2);
  events[1].mutable_time()->set_seconds(30);
  events[1].set_level(scheduler_pb::JobEvent::WARN);
  events[1].set_message("finished");
  std::vector<scheduler_pb::MetricPoint> points(1);
  points[0].set_step(5);
  points[0].mutable_time()->set_seconds(20);
  points[0].set_train_loss(1.5);
  const std::vector<Json> all = EventsJson(TrainedJob(), events, points);
  ASSERT_THAT(all, SizeIs(3));
  EXPECT_EQ(all[0]["message"], "finished");
  EXPECT_EQ(all[0]["level"], "warn");
  EXPECT_EQ(all[0]["type"], "message");
  EXPECT_EQ(all[1]["type"], "metrics");
  EXPECT_EQ(all[1]["data"], Json({{"step", 5}, {"train_loss", 1.5}}));
  EXPECT_EQ(all[2]["created_at"], 10);
  EXPECT_EQ(all[2]["object"], "fine_tuning.job.event");
}

TEST(OpenAiJsonTest, ACheckpointIsNamedSoThatItCanBeCalled) {
  scheduler_pb::Checkpoint checkpoint;
  checkpoint.set_step(88);
  checkpoint.mutable_metrics()->set_step(88);
  checkpoint.mutable_metrics()->set_valid_loss(0.25);
  const Json json = CheckpointJson(checkpoint, TrainedJob());
  EXPECT_EQ(json["id"], std::string("ftckpt_") + kId + "_88");
  EXPECT_EQ(json["step_number"], 88);
  EXPECT_EQ(json["fine_tuned_model_checkpoint"],
            std::string("ft:smollm2:default::") + kId + ":ckpt-step-88");
  EXPECT_EQ(json["metrics"]["valid_loss"], 0.25);
  EXPECT_EQ(json["fine_tuning_job_id"], std::string("ftjob-") + kId);
}

TEST(OpenAiJsonTest, TheSuffixIsShownAsGivenAndNamesHaveItsSlug) {
  Job job = TrainedJob();
  EXPECT_TRUE(JobJson(job, kNow)["user_provided_suffix"].is_null());
  job.mutable_spec()->mutable_training()->set_suffix("My_Model");
  job.mutable_resolved_spec()->mutable_training()->set_suffix("my-model");
  EXPECT_EQ(JobJson(job, kNow)["user_provided_suffix"], "My_Model");
  EXPECT_EQ(CheckpointJson({}, job)["fine_tuned_model_checkpoint"],
            std::string("ft:smollm2:default:my-model:") + kId + ":ckpt-step-0");
}

TEST(OpenAiJsonTest, TheResultFileIsCsvWithEmptyCellsForWhatWasNotMeasured) {
  std::vector<scheduler_pb::MetricPoint> points(2);
  points[0].set_step(1);
  points[0].set_train_loss(2.5);
  points[1].set_step(2);
  points[1].set_valid_loss(2);
  EXPECT_EQ(MetricsCsv(points),
            "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"
            "1,2.5,,,\n"
            "2,,,2.0,\n");
}

TEST(OpenAiJsonTest, IdsOfAnotherKindDoNotExist) {
  const std::string good = std::string("file-") + kId;
  EXPECT_EQ(*FileNameOf("projects/default", good, "id"),
            std::string("projects/default/files/") + kId);
  for (const char* id : {"", "file-", "file-../jobs/x", "ftjob-06bq3f00000000000000000000"}) {
    EXPECT_THAT(FileNameOf("projects/default", id, "training_file"),
                StatusIs(absl::StatusCode::kNotFound, HasSubstr("No such File object")))
        << id;
  }
  EXPECT_EQ(*JobOfResultFile("projects/default", std::string("file-res") + kId),
            std::string("projects/default/jobs/") + kId);
  EXPECT_FALSE(JobOfResultFile("projects/default", good).has_value());
}

TEST(OpenAiJsonTest, ListsGoOnAfterAnIdAndSayWhetherThereIsMore) {
  const std::vector<Json> all = {{{"id", "a"}}, {{"id", "b"}}, {{"id", "c"}}};
  ASSERT_OK_AND_ASSIGN(Json page, ListJson(all, "", 2));
  EXPECT_EQ(page["data"], Json::array({all[0], all[1]}));
  EXPECT_EQ(page["has_more"], true);
  EXPECT_EQ(page["last_id"], "b");
  ASSERT_OK_AND_ASSIGN(page, ListJson(all, "b", 2));
  EXPECT_EQ(page["data"], Json::array({all[2]}));
  EXPECT_EQ(page["has_more"], false);
  ASSERT_OK_AND_ASSIGN(page, ListJson({}, "", 2));
  EXPECT_TRUE(page["first_id"].is_null());
  EXPECT_THAT(ListJson(all, "x", 2), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace crossover::router
