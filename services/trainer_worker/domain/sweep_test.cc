#include "services/trainer_worker/domain/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/blob/directory_blob_store.h"
#include "common/log/fake_logger.h"
#include "common/status/error.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "services/trainer_worker/domain/fake_lease_client.h"
#include "services/trainer_worker/domain/fake_train_engine.h"
#include "services/trainer_worker/domain/job_runner.h"

namespace crossover::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

RunState Curve(std::vector<double> losses) {
  RunState run;
  for (size_t i = 0; i < losses.size(); ++i) {
    run.curve.push_back({static_cast<int64_t>(i + 1), 1.0, losses[i]});
    run.best_loss = std::min(run.best_loss.value_or(losses[i]), losses[i]);
  }
  run.step = static_cast<int64_t>(losses.size());
  return run;
}

TEST(SweepStateTest, TheMedianRuleComparesTheSameShareOfTheSteps) {
  SweepState state;
  EXPECT_FALSE(IsHopeless(state, Curve({9}), 5, 10));
  state.trials.push_back({TrialEnd::kFinished, 4, Curve({4, 3, 2, 1})});
  EXPECT_FALSE(IsHopeless(state, Curve({9}), 5, 10));  // one is no median
  state.trials.push_back({TrialEnd::kFinished, 2, Curve({3.5, 3})});
  // At half of the steps the others had reached 3 and 3.5.
  EXPECT_TRUE(IsHopeless(state, Curve({3.3}), 5, 10));
  EXPECT_FALSE(IsHopeless(state, Curve({3.25}), 5, 10));
  EXPECT_FALSE(IsHopeless(state, Curve({3.3, 3.2}), 5, 10));  // its own best counts
  EXPECT_TRUE(IsHopeless(state, Curve({3.2}), 10, 10));       // in the end 1 and 3
  EXPECT_FALSE(IsHopeless(state, Curve({9}), 1, 10));         // warming up
}

TEST(SweepStateTest, StateComesBackAsItWasAndDamageIsFound) {
  crossover::testing::TempDir folder;
  SweepState state;
  state.trials.push_back({TrialEnd::kStoppedByMedian, 7, Curve({0.5, 0.25})});
  state.trials[0].run.best_adapter = "sha256:a";
  state.trials[0].run.told_alarms = {"GAP"};
  ASSERT_OK(WriteSweepState(folder.path(), state));
  ASSERT_OK_AND_ASSIGN(const SweepState back, ReadSweepState(folder.path()));
  ASSERT_THAT(back.trials, SizeIs(1));
  EXPECT_EQ(back.trials[0].end, TrialEnd::kStoppedByMedian);
  EXPECT_EQ(back.trials[0].run.curve, state.trials[0].run.curve);
  EXPECT_EQ(back.trials[0].run.best_loss, 0.25);
  EXPECT_EQ(back.trials[0].run.told_alarms, state.trials[0].run.told_alarms);
  for (const char* text : {"{", "{}", R"({"trials":[{"end":"FINISHED"}]})",
                           R"({"trials":[{"end":"?","steps":1,"run":{}}]})"}) {
    crossover::testing::WriteFile(folder / kSweepStateFile, text);
    EXPECT_THAT(ReadSweepState(folder.path()), HasReasonThat("CHECKPOINT_DAMAGED")) << text;
  }
}

class SweepTest : public ::testing::Test {
 protected:
  SweepTest() {
    blobs_ = *NewDirectoryBlobStore({.root = folder_ / "blobs", .sync = false}, clock_);
    job_.name = "projects/default/jobs/j1";
    job_.base_digest = *blobs_->PutBytes("base");
    crossover::testing::WriteFile(folder_ / "data/dataset.json", "{}");
    job_.dataset_digest = *blobs_->PutFolder("dataset", folder_ / "data");
    job_.epoch = 1;
    job_.ttl = absl::Seconds(30);
    job_.heartbeat_interval = absl::Seconds(10);
    for (const double rate : {0.1, 0.2, 0.3, 0.4}) {
      Trial trial;
      trial.values["learning_rate"] = absl::StrCat(rate);
      trial.plan.learning_rate = rate;
      trial.plan.steps = 10;
      trial.plan.eval_every = 2;
      trial.plan.checkpoint_every = 4;
      job_.sweep.trials.push_back(trial);
    }
    options_.work_folder = folder_ / "work";
    options_.keeper.own_thread = false;
    NameAdapters();
    // 0.2 is best; 0.3 and 0.4 are far behind from the start.
    engine_.script.trial_loss = [](const TrainPlan& plan, int64_t step) {
      return std::abs(plan.learning_rate - 0.2) + 1.0 / static_cast<double>(step);
    };
  }

  void NameAdapters() {
    engine_.script.adapter = [](const TrainPlan& plan, int64_t step) {
      return absl::StrCat("weights after ", step, " steps at ", plan.learning_rate);
    };
  }

  Outcome Run() {
    job_.granted_at = clock_.SteadyNow();
    JobRunner runner({client_, engine_, *blobs_, clock_, logger_, metrics_, board_}, options_);
    return runner.Run(job_, draining_);
  }

  void ResumeFrom(const FakeLeaseClient::Recorded& checkpoint) {
    job_.resume_checkpoint = checkpoint.digest;
    job_.resume_step = checkpoint.step;
    job_.epoch += 1;
    engine_.steps_run = 0;
  }

  nlohmann::json Report(size_t ending) {
    return nlohmann::json::parse(*blobs_->ReadAll(client_.endings.at(ending).report_digest));
  }

  std::string AdapterText(const std::string& digest) {
    return crossover::testing::ReadFile(*blobs_->LocalPathOf(digest, "adapter"));
  }

  std::vector<Event> Events() {
    std::vector<Event> events;
    for (const worker::Report& beat : client_.beats) {
      events.insert(events.end(), beat.events.begin(), beat.events.end());
    }
    for (const worker::Report& last : client_.last_reports) {
      events.insert(events.end(), last.events.begin(), last.events.end());
    }
    return events;
  }

  crossover::testing::TempDir folder_;
  FakeClock clock_;
  FakeLogger logger_;
  metrics::Registry registry_{"worker"};
  WorkerMetrics metrics_{registry_};
  std::unique_ptr<BlobStore> blobs_;
  FakeLeaseClient client_;
  FakeTrainEngine engine_;
  LeasedJob job_;
  RunnerOptions options_;
  std::atomic<bool> draining_ = false;
  StatusBoard board_;
};

TEST_F(SweepTest, TheBestTrialIsPublishedTheOthersAreListedAndTheMedianStopsSome) {
  ASSERT_EQ(Run(), Outcome::kCompleted);
  const Ending& ending = client_.endings.at(0);
  EXPECT_EQ(AdapterText(ending.adapter_digest), "weights after 10 steps at 0.2");
  // 0.1 and 0.2 run to the end; 0.3 equals 0.1 and 0.4 is worse than the median of the others.
  EXPECT_EQ(engine_.steps_run, 10 + 10 + 2 + 2);
  EXPECT_EQ(ending.tokens, 2400);
  EXPECT_EQ(ending.trained_tokens, 480);
  const nlohmann::json report = Report(0);
  EXPECT_EQ(report["best"], 1);
  ASSERT_THAT(report["trials"], SizeIs(4));
  EXPECT_EQ(report["trials"][1]["end"], "FINISHED");
  EXPECT_EQ(report["trials"][1]["values"]["learning_rate"], 0.2);
  EXPECT_DOUBLE_EQ(report["trials"][1]["best_valid_loss"], 0.1);
  EXPECT_EQ(report["trials"][3]["end"], "STOPPED_BY_MEDIAN");
  EXPECT_EQ(report["trials"][3]["steps_done"], 2);
  EXPECT_EQ(report["trials"][3]["curve"].size(), 1u);
  int ended = 0;
  for (const Event& event : Events()) {
    if (event.type != EventType::kTrialEnded) continue;
    ++ended;
    EXPECT_TRUE(nlohmann::json::accept(event.data));
  }
  EXPECT_EQ(ended, 4);
  // Steps count on over the trials, so that no metric or checkpoint hides another.
  std::vector<int64_t> steps;
  for (const auto& checkpoint : client_.checkpoints) steps.push_back(checkpoint.step);
  EXPECT_THAT(steps, ElementsAre(4, 8, 10, 14, 18, 20, 30));
}

TEST_F(SweepTest, WithoutTheMedianRuleEveryTrialRunsToItsEnd) {
  job_.sweep.median_stop = false;
  ASSERT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(engine_.steps_run, 40);
  EXPECT_EQ(Report(0)["trials"][3]["end"], "FINISHED");
}

TEST_F(SweepTest, AnAttemptGoesOnInTheTrialAndAtTheStepOfTheLastCheckpoint) {
  ASSERT_EQ(Run(), Outcome::kCompleted);
  const std::vector<FakeLeaseClient::Recorded> checkpoints = client_.checkpoints;
  const std::vector<int64_t> rest = {20, 16, 14, 10, 6, 4, 2};
  for (size_t i = 0; i < checkpoints.size(); ++i) {
    ResumeFrom(checkpoints[i]);
    ASSERT_EQ(Run(), Outcome::kCompleted);
    EXPECT_EQ(engine_.steps_run, rest[i]) << "from step " << checkpoints[i].step;
    EXPECT_EQ(client_.endings.back().adapter_digest, client_.endings[0].adapter_digest);
    EXPECT_EQ(client_.endings.back().report_digest, client_.endings[0].report_digest);
    EXPECT_EQ(client_.endings.back().trained_tokens, 480);
  }
}

TEST_F(SweepTest, ACrashOrADrainInTheMiddleOfATrialLosesNothingThatWasRecorded) {
  engine_.script.before_step = [&](int64_t step) {
    if (step == 6 && engine_.steps_run == 15) draining_ = true;  // in the second trial
  };
  ASSERT_EQ(Run(), Outcome::kReleased);
  EXPECT_EQ(client_.checkpoints.back().step, 16);
  draining_ = false;
  ResumeFrom(client_.checkpoints.back());
  ASSERT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(engine_.steps_run, 4 + 2 + 2);
  EXPECT_EQ(AdapterText(client_.endings[0].adapter_digest), "weights after 10 steps at 0.2");
}

TEST_F(SweepTest, ACheckpointThatCannotBeReadStartsWithTheFirstTrialAndSaysSo) {
  crossover::testing::WriteFile(folder_ / "other/run_state.json", "{}");
  ResumeFrom({12, *blobs_->PutFolder("checkpoint", folder_ / "other"), ""});
  ASSERT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(engine_.steps_run, 24);
  EXPECT_THAT(Events().at(0).message, HasSubstr("starting with the first trial"));
}

TEST_F(SweepTest, BehindACheckpointThatCannotBeReadItGoesOnFromTheOneBefore) {
  engine_.script.before_step = [&](int64_t step) {
    if (step == 6 && engine_.steps_run == 15) draining_ = true;  // in the second trial
  };
  ASSERT_EQ(Run(), Outcome::kReleased);
  draining_ = false;
  const FakeLeaseClient::Recorded last = client_.checkpoints.back();
  ResumeFrom({last.step + 1, "sha256:" + std::string(64, 'b'), ""});
  job_.earlier_checkpoints = {{last.digest, last.step}};
  ASSERT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(engine_.steps_run, 4 + 2 + 2);
  std::vector<std::string> messages;
  for (const Event& event : Events()) messages.push_back(event.message);
  EXPECT_THAT(messages, Contains(HasSubstr(absl::StrCat("going back to step ", last.step))));
}

TEST_F(SweepTest, WithoutValidationRowsItFailsAndSaysWhy) {
  engine_.script.trial_loss = nullptr;
  EXPECT_EQ(Run(), Outcome::kFailed);
  EXPECT_EQ(client_.endings.at(0).failure->reason, "NO_VALIDATION_ROWS");
  EXPECT_EQ(client_.endings.at(0).failure->error_class, ErrorClass::kUser);
}

TEST_F(SweepTest, NothingButTheOutputStaysPinned) {
  ASSERT_EQ(Run(), Outcome::kCompleted);
  clock_.Advance(absl::Hours(1000));
  for (const auto& checkpoint : client_.checkpoints) {
    EXPECT_OK(blobs_->Unpin(checkpoint.digest, "projects/default/jobs/j1/checkpoints"));
    EXPECT_OK(blobs_->Unpin(checkpoint.adapter_digest, "projects/default/jobs/j1/checkpoints"));
  }
  ASSERT_OK(blobs_->CollectGarbage({}, absl::Seconds(0)).status());
  EXPECT_TRUE(*blobs_->Exists(client_.endings[0].adapter_digest));
  EXPECT_TRUE(*blobs_->Exists(client_.endings[0].report_digest));
  const nlohmann::json report = Report(0);
  for (const nlohmann::json& trial : report["trials"]) {
    const std::string digest = trial["adapter"];
    EXPECT_EQ(*blobs_->Exists(digest), digest == client_.endings[0].adapter_digest);
  }
}

}  // namespace
}  // namespace crossover::worker
