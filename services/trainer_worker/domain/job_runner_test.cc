#include "services/trainer_worker/domain/job_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "common/blob/directory_blob_store.h"
#include "common/log/fake_logger.h"
#include "common/status/error.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "services/trainer_worker/domain/attempts_folder.h"
#include "services/trainer_worker/domain/fake_lease_client.h"
#include "services/trainer_worker/domain/fake_train_engine.h"

namespace crossover::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class JobRunnerTest : public ::testing::Test {
 protected:
  JobRunnerTest() {
    blobs_ = *NewDirectoryBlobStore({.root = folder_ / "blobs", .sync = false}, clock_);
    job_.name = "projects/default/jobs/j1";
    job_.base_digest = *blobs_->PutBytes("base");
    crossover::testing::WriteFile(folder_ / "data/dataset.json", "{}");
    job_.dataset_digest = *blobs_->PutFolder("dataset", folder_ / "data");
    job_.epoch = 1;
    job_.ttl = absl::Seconds(30);
    job_.heartbeat_interval = absl::Seconds(10);
    job_.train.checkpoint_every = 4;
    job_.train.eval_every = 2;
    options_.work_folder = folder_ / "work";
    options_.keeper.own_thread = false;
  }

  Outcome Run() {
    job_.granted_at = clock_.SteadyNow();
    JobRunner runner({client_, engine_, *blobs_, clock_, logger_, metrics_, board_}, options_);
    return runner.Run(job_, draining_);
  }

  // The next life of the same job: what a worker gets after a crash of this one.
  void ResumeFromLastCheckpoint() {
    job_.resume_checkpoint = client_.checkpoints.back().digest;
    job_.resume_step = client_.checkpoints.back().step;
    job_.epoch += 1;
  }

  std::string AdapterText(const std::string& digest) {
    return crossover::testing::ReadFile(*blobs_->LocalPathOf(digest, "adapter"));
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

TEST_F(JobRunnerTest, AJobIsTrainedCheckpointedAndPublishedByDigest) {
  EXPECT_EQ(Run(), Outcome::kCompleted);
  ASSERT_THAT(client_.endings, SizeIs(1));
  EXPECT_FALSE(client_.endings[0].failure.has_value());
  EXPECT_EQ(AdapterText(client_.endings[0].adapter_digest), "weights after 10 steps");
  EXPECT_EQ(client_.endings[0].trained_tokens, 200);
  EXPECT_EQ(client_.endings[0].tokens, 1000);
  ASSERT_THAT(client_.checkpoints, SizeIs(2));
  EXPECT_EQ(client_.checkpoints[0].step, 4);
  EXPECT_EQ(client_.checkpoints[1].step, 8);
  EXPECT_THAT(client_.last_reports[0].metrics, SizeIs(2));  // the others were sent at step 8
  EXPECT_TRUE(std::filesystem::is_empty(AttemptsFolder(options_.work_folder)));
}

TEST_F(JobRunnerTest, ABaseThatIsAFolderIsTheSameFolderForEveryJob) {
  crossover::testing::WriteFile(folder_ / "model/config.json", "{}");
  job_.base_digest = *blobs_->PutFolder("model", folder_ / "model");
  ASSERT_EQ(Run(), Outcome::kCompleted);
  const std::filesystem::path trained_on = engine_.seen_base;
  EXPECT_EQ(crossover::testing::ReadFile(trained_on / "config.json"), "{}");
  job_.is_export = true;
  job_.adapter_digest = client_.endings[0].adapter_digest;
  job_.model_export.format = ExportFormat::kGgufF16;
  ASSERT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(engine_.seen_base, trained_on) << "the base in memory is known by its path";
}

TEST_F(JobRunnerTest, AResumedJobDoesOnlyTheRestAndEndsInTheSameAdapter) {
  ASSERT_EQ(Run(), Outcome::kCompleted);
  const std::string whole = client_.endings[0].adapter_digest;
  ResumeFromLastCheckpoint();
  engine_.steps_run = 0;
  ASSERT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(engine_.steps_run, 2);
  EXPECT_EQ(client_.endings[1].adapter_digest, whole);
  EXPECT_EQ(client_.endings[1].trained_tokens, 200);  // of the whole job
  EXPECT_EQ(client_.endings[1].tokens, 200);          // of this attempt
}

TEST_F(JobRunnerTest, AWorkerWhoseLeaseExpiredWhileItSleptPublishesNothing) {
  engine_.script.before_step = [this](int64_t step) {
    if (step == 6) clock_.Advance(absl::Minutes(5));  // the machine was suspended
  };
  EXPECT_EQ(Run(), Outcome::kLost);
  EXPECT_THAT(client_.endings, SizeIs(0));
  EXPECT_THAT(client_.releases, SizeIs(0));
  EXPECT_THAT(client_.checkpoints, SizeIs(1));
}

TEST_F(JobRunnerTest, AWorkerThatIsToldThatItsLeaseIsLostStops) {
  engine_.script.before_step = [this](int64_t step) {
    clock_.Advance(absl::Seconds(2));
    if (step == 3) client_.beat_error = Error(absl::StatusCode::kAborted, "LEASE_LOST", "over");
  };
  EXPECT_EQ(Run(), Outcome::kLost);
  EXPECT_LT(engine_.steps_run, 10);
  EXPECT_THAT(client_.endings, SizeIs(0));
}

TEST_F(JobRunnerTest, ACheckpointThatIsRefusedEndsTheJobHere) {
  client_.record_error = Error(absl::StatusCode::kAborted, "LEASE_LOST", "over");
  EXPECT_EQ(Run(), Outcome::kLost);
  EXPECT_EQ(engine_.steps_run, 4);
  EXPECT_THAT(client_.endings, SizeIs(0));
}

TEST_F(JobRunnerTest, AKillBetweenArtifactAndCompleteLosesNothing) {
  // The worker dies when the artifact is stored and complete has not been heard.
  client_.complete_error = Error(absl::StatusCode::kAborted, "LEASE_LOST", "as good as dead");
  EXPECT_EQ(Run(), Outcome::kLost);
  client_.complete_error = absl::OkStatus();
  ResumeFromLastCheckpoint();
  EXPECT_EQ(Run(), Outcome::kCompleted);
  ASSERT_THAT(client_.endings, SizeIs(1));
  EXPECT_EQ(AdapterText(client_.endings[0].adapter_digest), "weights after 10 steps");
}

TEST_F(JobRunnerTest, WhatWasSaidUpToACheckpointIsStoredBeforeTheCheckpointIs) {
  client_.on_record = [this](int64_t step) {
    size_t points = 0;
    for (const Report& beat : client_.beats) points += beat.metrics.size();
    EXPECT_EQ(points, static_cast<size_t>(step));
  };
  EXPECT_EQ(Run(), Outcome::kCompleted);
  EXPECT_THAT(client_.checkpoints, SizeIs(2));
}

TEST_F(JobRunnerTest, ADrainWritesACheckpointAndGivesTheLeaseBack) {
  engine_.script.before_step = [this](int64_t step) {
    if (step == 3) draining_ = true;
  };
  EXPECT_EQ(Run(), Outcome::kReleased);
  EXPECT_THAT(client_.releases, ElementsAre(ReleaseReason::kDrain));
  ASSERT_THAT(client_.checkpoints, SizeIs(1));
  EXPECT_EQ(client_.checkpoints[0].step, 3);
  EXPECT_EQ(board_.Get().loaded_base, job_.base_digest);
  EXPECT_EQ(board_.Get().checkpoint_step, 3);
  EXPECT_EQ(board_.Get().job, job_.name);
}

TEST_F(JobRunnerTest, PauseCancelAndPreemptionWriteACheckpointFirst) {
  const std::vector<std::pair<Directive, ReleaseReason>> cases = {
      {Directive::kPause, ReleaseReason::kPaused},
      {Directive::kCancel, ReleaseReason::kCancelled},
      {Directive::kRelease, ReleaseReason::kPreempted}};
  engine_.script.before_step = [this](int64_t) { clock_.Advance(absl::Seconds(1)); };
  for (const auto& [directive, reason] : cases) {
    client_.directive = directive;
    client_.checkpoints.clear();
    EXPECT_EQ(Run(), Outcome::kReleased);
    EXPECT_EQ(client_.releases.back(), reason);
    EXPECT_THAT(client_.checkpoints, SizeIs(1));
  }
}

TEST_F(JobRunnerTest, ADiskThatIsFullAtADrainStillGivesTheLeaseBack) {
  engine_.script.before_step = [this](int64_t step) {
    if (step == 3) draining_ = true;
  };
  engine_.script.on_write = [](const std::filesystem::path&) {
    return Error(absl::StatusCode::kResourceExhausted, "DISK_FULL", "no room");
  };
  EXPECT_EQ(Run(), Outcome::kReleased);
}

TEST_F(JobRunnerTest, AFullDiskFailsTheAttemptAsInfrastructureWithAdvice) {
  engine_.script.on_write = [](const std::filesystem::path& path) {
    return Error(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                 path.string() + " needs 59 MB, 3 MB are free");
  };
  EXPECT_EQ(Run(), Outcome::kFailed);
  ASSERT_THAT(client_.endings, SizeIs(1));
  EXPECT_EQ(client_.endings[0].failure->error_class, ErrorClass::kInfrastructure);
  EXPECT_EQ(client_.endings[0].failure->reason, "DISK_FULL");
  EXPECT_THAT(client_.endings[0].failure->message, HasSubstr("free space"));
  EXPECT_TRUE(std::filesystem::is_empty(AttemptsFolder(options_.work_folder)));
}

TEST_F(JobRunnerTest, ALossThatIsNotFiniteIsReportedWithItsRow) {
  engine_.script.step_error = [](int64_t step) {
    return step < 5 ? absl::OkStatus()
                    : Error(absl::StatusCode::kAborted, "LOSS_NOT_FINITE",
                            "loss of step 5 is nan; rows sha256:77");
  };
  EXPECT_EQ(Run(), Outcome::kFailed);
  EXPECT_EQ(client_.endings.at(0).failure->reason, "LOSS_NOT_FINITE");
  EXPECT_THAT(client_.endings.at(0).failure->message, HasSubstr("sha256:77"));
}

TEST_F(JobRunnerTest, ARowThatIsWrongIsTheUsersError) {
  engine_.script.prepare =
      Error(absl::StatusCode::kInvalidArgument, "ROW_TOO_LONG", "row sha256:5 has 9,000 tokens");
  EXPECT_EQ(Run(), Outcome::kFailed);
  EXPECT_EQ(client_.endings.at(0).failure->error_class, ErrorClass::kUser);
}

TEST_F(JobRunnerTest, ABlobThatIsMissingIsNamed) {
  job_.base_digest = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(Run(), Outcome::kFailed);
  EXPECT_EQ(client_.endings.at(0).failure->reason, "BLOB_NOT_FOUND");
  EXPECT_EQ(client_.endings.at(0).failure->error_class, ErrorClass::kInfrastructure);
}

TEST_F(JobRunnerTest, ACheckpointThatCannotBeResumedMeansStartingAnewAndSayingSo) {
  ASSERT_EQ(Run(), Outcome::kCompleted);
  ResumeFromLastCheckpoint();
  engine_.script.refuses_checkpoints = true;
  engine_.steps_run = 0;
  EXPECT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(engine_.steps_run, 10);
  bool told = false;
  std::vector<Report> reports = client_.beats;
  reports.push_back(client_.last_reports.back());
  for (const Report& report : reports) {
    for (const Event& event : report.events) {
      told = told || event.message.find("starting anew") != std::string::npos;
    }
  }
  EXPECT_TRUE(told);
}

// A store whose disk is full, or that does not answer, when a folder is laid out.
class BrokenStore final : public BlobStore {
 public:
  explicit BrokenStore(BlobStore& real) : real_(real) {}
  absl::StatusOr<std::unique_ptr<BlobWriter>> NewWriter(int64_t size) override {
    return real_.NewWriter(size);
  }
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(std::string_view digest,
                                                   ReadOptions options) override {
    if (digest == broken) return error;
    return real_.Open(digest, options);
  }
  absl::StatusOr<int64_t> SizeOf(std::string_view digest) override { return real_.SizeOf(digest); }
  absl::StatusOr<bool> Exists(std::string_view digest) override { return real_.Exists(digest); }
  absl::StatusOr<std::filesystem::path> LocalPath(std::string_view digest) override {
    return real_.LocalPath(digest);
  }
  absl::StatusOr<std::filesystem::path> LocalFolder(std::string_view artifact) override {
    return real_.LocalFolder(artifact);
  }
  absl::Status Pin(std::string_view digest, std::string_view holder) override {
    return real_.Pin(digest, holder);
  }
  absl::Status Unpin(std::string_view digest, std::string_view holder) override {
    return real_.Unpin(digest, holder);
  }
  absl::StatusOr<int64_t> CollectGarbage(const std::vector<std::string>& roots,
                                         absl::Duration age) override {
    return real_.CollectGarbage(roots, age);
  }

  std::string broken;
  absl::Status error;

 private:
  BlobStore& real_;
};

TEST_F(JobRunnerTest, ACheckpointThatCannotBeFetchedNowIsNotThrownAway) {
  ASSERT_EQ(Run(), Outcome::kCompleted);
  ResumeFromLastCheckpoint();
  BrokenStore store(*blobs_);
  store.broken = job_.resume_checkpoint;
  const std::vector<absl::Status> passing = {
      Error(absl::StatusCode::kResourceExhausted, "DISK_FULL", "no room"),
      Error(absl::StatusCode::kPermissionDenied, "BLOB_STORE_UNUSABLE", "cannot open"),
      Error(absl::StatusCode::kUnavailable, "BLOB_STORE_UNUSABLE", "input/output error")};
  for (const absl::Status& status : passing) {
    store.error = status;
    engine_.steps_run = 0;
    job_.granted_at = clock_.SteadyNow();
    JobRunner runner({client_, engine_, store, clock_, logger_, metrics_, board_}, options_);
    EXPECT_EQ(runner.Run(job_, draining_), Outcome::kFailed);
    EXPECT_EQ(engine_.steps_run, 0);
    EXPECT_EQ(client_.endings.back().failure->error_class, ErrorClass::kInfrastructure);
    EXPECT_THAT(client_.endings.back().failure->message, HasSubstr("checkpoint of step 8"));
  }
}

TEST_F(JobRunnerTest, ACheckpointThatIsGoneMeansStartingAnew) {
  ASSERT_EQ(Run(), Outcome::kCompleted);
  ResumeFromLastCheckpoint();
  job_.resume_checkpoint = "sha256:" + std::string(64, 'a');
  engine_.steps_run = 0;
  EXPECT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(engine_.steps_run, 10);
}

TEST_F(JobRunnerTest, ACheckpointThatIsGoneGivesWayToTheOneBefore) {
  ASSERT_EQ(Run(), Outcome::kCompleted);
  ResumeFromLastCheckpoint();
  ASSERT_GE(client_.checkpoints.size(), 2u);
  const auto before = client_.checkpoints[client_.checkpoints.size() - 2];
  job_.earlier_checkpoints = {{"sha256:" + std::string(64, 'b'), before.step + 1},
                              {before.digest, before.step}};
  job_.resume_checkpoint = "sha256:" + std::string(64, 'a');
  engine_.steps_run = 0;
  EXPECT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(engine_.steps_run, 10 - before.step);
}

TEST_F(JobRunnerTest, OnlyWhatIsKeptOrPublishedStaysPinned) {
  engine_.script.valid_loss = [](int64_t step) { return step <= 6 ? 1.0 / step : 1.0; };
  client_.on_record = [this](int64_t step) {
    // The scheduler keeps the last checkpoint only.
    client_.released.clear();
    if (step == 8) {
      client_.released = {client_.checkpoints[0].digest, client_.checkpoints[0].adapter_digest};
    }
  };
  ASSERT_EQ(Run(), Outcome::kCompleted);
  const auto pins = [&](const std::string& digest) {
    std::vector<std::string> holders;
    std::error_code none;
    const auto folder = folder_ / "blobs/pins" / digest.substr(7);
    for (const auto& pin : std::filesystem::directory_iterator(folder, none)) {
      std::string holder;
      absl::WebSafeBase64Unescape(pin.path().filename().string(), &holder);
      holders.push_back(holder);
    }
    return holders;
  };
  EXPECT_THAT(pins(client_.checkpoints[0].digest), SizeIs(0));
  EXPECT_THAT(pins(client_.checkpoints[0].adapter_digest), SizeIs(0));
  EXPECT_THAT(pins(client_.checkpoints[1].digest), ElementsAre(job_.name + "/checkpoints"));
  EXPECT_THAT(pins(client_.endings[0].adapter_digest), ElementsAre(job_.name));
  EXPECT_EQ(AdapterText(client_.endings[0].adapter_digest), "weights after 6 steps");
}

TEST_F(JobRunnerTest, AnExportThatIsAskedToStopGivesTheLeaseBack) {
  crossover::testing::WriteFile(folder_ / "adapter/adapter_model.safetensors", "x");
  job_.is_export = true;
  job_.adapter_digest = *blobs_->PutFolder("adapter", folder_ / "adapter");
  job_.model_export.format = ExportFormat::kGgufF16;
  engine_.script.on_write = [this](const std::filesystem::path&) {
    draining_ = true;
    return absl::OkStatus();
  };
  EXPECT_EQ(Run(), Outcome::kReleased);
  EXPECT_THAT(client_.releases, ElementsAre(ReleaseReason::kDrain));
  EXPECT_THAT(client_.endings, SizeIs(0));
}

TEST_F(JobRunnerTest, ATrainingThatIsDrainedBeforeItsFirstStepRunsNone) {
  draining_ = true;
  EXPECT_EQ(Run(), Outcome::kReleased);
  EXPECT_EQ(engine_.steps_run, 0);
}

TEST_F(JobRunnerTest, WithoutGainTheTrainingStopsEarlyAndTheBestAdapterIsPublished) {
  job_.train.early_stop_patience = 2;
  engine_.script.valid_loss = [](int64_t step) { return step <= 4 ? 1.0 / step : 1.0; };
  EXPECT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(engine_.steps_run, 8);  // best at 4, none at 6 and 8
  EXPECT_EQ(AdapterText(client_.endings.at(0).adapter_digest), "weights after 4 steps");
}

TEST_F(JobRunnerTest, OverfittingIsATypedEventAndToldOnceAlsoOverAResume) {
  engine_.script.train_loss = [](int64_t) { return 0.1; };
  engine_.script.valid_loss = [](int64_t step) { return 1.0 + static_cast<double>(step); };
  const auto alarms = [this] {
    std::vector<std::string> data;
    const auto add = [&](const Report& report) {
      for (const Event& event : report.events) {
        if (event.type == EventType::kOverfitting) data.push_back(event.data);
      }
    };
    for (const Report& beat : client_.beats) add(beat);
    for (const Report& last : client_.last_reports) add(last);
    return data;
  };
  ASSERT_EQ(Run(), Outcome::kCompleted);
  ASSERT_THAT(alarms(), SizeIs(2));
  EXPECT_THAT(alarms()[0], HasSubstr(R"("rule":"TRAIN_LOSS","step":2)"));
  EXPECT_THAT(alarms()[1], HasSubstr(R"("rule":"GAP","step":6)"));
  ResumeFromLastCheckpoint();
  ASSERT_EQ(Run(), Outcome::kCompleted);
  EXPECT_THAT(alarms(), SizeIs(2));
}

TEST_F(JobRunnerTest, PatienceIsRememberedOverAResume) {
  job_.train.early_stop_patience = 2;
  job_.train.checkpoint_every = 6;
  engine_.script.valid_loss = [](int64_t step) { return step <= 4 ? 1.0 / step : 1.0; };
  ASSERT_EQ(Run(), Outcome::kCompleted);
  ResumeFromLastCheckpoint();
  ASSERT_EQ(job_.resume_step, 6);
  engine_.steps_run = 0;
  EXPECT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(engine_.steps_run, 2);
  EXPECT_EQ(client_.endings[1].adapter_digest, client_.endings[0].adapter_digest);
}

TEST_F(JobRunnerTest, AnExportIsStoredAsAFolder) {
  crossover::testing::WriteFile(folder_ / "adapter/adapter_model.safetensors", "x");
  job_.is_export = true;
  job_.adapter_digest = *blobs_->PutFolder("adapter", folder_ / "adapter");
  job_.model_export.format = ExportFormat::kGgufF16;
  EXPECT_EQ(Run(), Outcome::kCompleted);
  ASSERT_OK_AND_ASSIGN(const auto manifest,
                       blobs_->ReadManifest(client_.endings.at(0).artifact_digest));
  ASSERT_THAT(manifest.files, SizeIs(1));
  EXPECT_EQ(manifest.files[0].path, "model.gguf");
  ASSERT_OK(blobs_->Materialise(client_.endings.at(0).artifact_digest, folder_ / "exported"));
  EXPECT_EQ(crossover::testing::ReadFile(folder_ / "exported" / "model.gguf"),
            "merged " + job_.adapter_digest);
  job_.model_export.format = ExportFormat::kPeft;
  EXPECT_EQ(Run(), Outcome::kCompleted);
  EXPECT_EQ(client_.endings.at(1).artifact_digest, job_.adapter_digest);
}

}  // namespace
}  // namespace crossover::worker
