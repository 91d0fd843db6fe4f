// Two workers that share a job, each with its own runner, keeper and engine, in two threads.
#include "services/trainer_worker/domain/gang.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "common/blob/directory_blob_store.h"
#include "common/log/fake_logger.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "services/trainer_worker/domain/fake_lease_client.h"
#include "services/trainer_worker/domain/fake_meeting.h"
#include "services/trainer_worker/domain/fake_train_engine.h"
#include "services/trainer_worker/domain/job_runner.h"

namespace crossover::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// What the scheduler knows of the lease of both: whoever ends it ends it for all.
struct SharedLease {
  std::atomic<bool> over = false;
  std::array<std::atomic<Directive>, 2> directives = {Directive::kContinue, Directive::kContinue};
};

class RankClient final : public LeaseClient {
 public:
  RankClient(SharedLease& lease, size_t rank) : lease_(lease), rank_(rank) {}

  absl::StatusOr<std::optional<LeasedJob>> Lease(absl::Duration wait) override {
    return told.Lease(wait);
  }
  void Interrupt() override {}
  absl::StatusOr<BeatReply> Heartbeat(const LeasedJob& job, const Report& report) override {
    if (lease_.over) return Over();
    return BeatReply{lease_.directives.at(rank_), job.ttl, report.seq};
  }
  absl::StatusOr<std::vector<std::string>> RecordCheckpoint(const LeasedJob& job, int64_t step,
                                                            const std::string& digest,
                                                            const std::string& adapter_digest,
                                                            const Metric& metrics) override {
    if (lease_.over) return Over();
    return told.RecordCheckpoint(job, step, digest, adapter_digest, metrics);
  }
  absl::Status Complete(const LeasedJob& job, const Ending& ending, const Report& last) override {
    if (lease_.over.exchange(true)) return Over();
    return told.Complete(job, ending, last);
  }
  absl::Status Release(const LeasedJob& job, ReleaseReason reason, int64_t step,
                       const std::string& how) override {
    if (lease_.over.exchange(true)) return Over();
    return told.Release(job, reason, step, how);
  }

  FakeLeaseClient told;

 private:
  static absl::Status Over() { return Error(absl::StatusCode::kAborted, "LEASE_LOST", "over"); }

  SharedLease& lease_;
  const size_t rank_;
};

class GangTest : public ::testing::Test {
 protected:
  // One worker's own things.
  struct Rank {
    explicit Rank(SharedLease& lease, size_t rank) : client(lease, rank) {}

    RankClient client;
    FakeTrainEngine engine;
    metrics::Registry registry{"worker"};
    WorkerMetrics metrics{registry};
    StatusBoard board;
    FakeLogger logger;
    std::atomic<bool> draining = false;
    LeasedJob job;
  };

  GangTest() {
    blobs_ = *NewDirectoryBlobStore({.root = folder_ / "blobs", .sync = false}, clock_);
    crossover::testing::WriteFile(folder_ / "data/dataset.json", "{}");
    LeasedJob job;
    job.name = "projects/default/jobs/j1";
    job.base_digest = *blobs_->PutBytes("base");
    job.dataset_digest = *blobs_->PutFolder("dataset", folder_ / "data");
    job.epoch = 1;
    job.ttl = absl::Seconds(30);
    job.heartbeat_interval = absl::Seconds(10);
    job.train.checkpoint_every = 4;
    job.train.eval_every = 2;
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      job.gang = {.rank = static_cast<int>(rank), .size = 2, .rendezvous = "127.0.0.1:7090"};
      ranks_[rank] = std::make_unique<Rank>(lease_, rank);
      ranks_[rank]->job = job;
    }
  }

  Outcome RunRank(size_t rank) {
    Rank& mine = *ranks_.at(rank);
    mine.job.granted_at = clock_.SteadyNow();
    JobRunner runner(
        {mine.client, mine.engine, *blobs_, clock_, mine.logger, mine.metrics, mine.board,
         [this, rank](const llm::Rendezvous& rendezvous)
             -> absl::StatusOr<std::shared_ptr<llm::Collective>> {
           EXPECT_EQ(rendezvous.port, 7090);
           RETURN_IF_ERROR(join_errors_.at(rank));
           return meeting_->Join(rendezvous);
         }},
        {.work_folder = folder_ / std::to_string(rank),
         .keeper = {.news_interval = absl::Milliseconds(10)}});
    return runner.Run(mine.job, mine.draining);
  }

  // Both; how each ended.
  std::array<Outcome, 2> Run() {
    std::array<Outcome, 2> outcomes{};
    std::thread other([&] { outcomes[1] = RunRank(1); });
    outcomes[0] = RunRank(0);
    other.join();
    return outcomes;
  }

  // The next lease of the job, to the same two.
  void ResumeFromLastCheckpoint() {
    for (const auto& rank : ranks_) {
      rank->job.resume_checkpoint = told(0).checkpoints.back().digest;
      rank->job.resume_step = told(0).checkpoints.back().step;
      rank->job.epoch += 1;
      rank->engine.steps_run = 0;
    }
    lease_.over = false;
    meeting_ = std::make_unique<FakeMeeting>();
  }

  FakeLeaseClient& told(size_t rank) { return ranks_.at(rank)->client.told; }
  FakeTraining& script(size_t rank) { return ranks_.at(rank)->engine.script; }
  int64_t steps_run(size_t rank) { return ranks_.at(rank)->engine.steps_run; }
  // Rank 1 says nothing but its beats.
  void ExpectSilent() {
    EXPECT_THAT(told(1).checkpoints, IsEmpty());
    EXPECT_THAT(told(1).endings, IsEmpty());
    EXPECT_THAT(told(1).releases, IsEmpty());
  }
  std::string AdapterText(const std::string& digest) {
    return crossover::testing::ReadFile(*blobs_->LocalPathOf(digest, "adapter"));
  }

  crossover::testing::TempDir folder_;
  Clock& clock_ = SystemClock();
  std::unique_ptr<BlobStore> blobs_;
  SharedLease lease_;
  std::unique_ptr<FakeMeeting> meeting_ = std::make_unique<FakeMeeting>();
  std::array<absl::Status, 2> join_errors_;
  std::array<std::unique_ptr<Rank>, 2> ranks_;
};

TEST_F(GangTest, BothTrainAndRankZeroAloneTells) {
  for (const size_t rank : {0, 1}) {
    script(rank).valid_loss = [](int64_t step) { return 1.0 / static_cast<double>(step); };
  }
  EXPECT_THAT(Run(), ElementsAre(Outcome::kCompleted, Outcome::kFollowed));
  ASSERT_THAT(told(0).endings, SizeIs(1));
  EXPECT_EQ(AdapterText(told(0).endings[0].adapter_digest), "weights after 10 steps");
  EXPECT_THAT(told(0).checkpoints, SizeIs(2));
  EXPECT_EQ(steps_run(1), 10);
  EXPECT_THAT(ranks_[1]->registry.Expose(), HasSubstr("crossover_worker_tokens_total 500\n"));
  EXPECT_EQ(ranks_[1]->board.Get().job, "");
  ExpectSilent();
}

TEST_F(GangTest, WhatOneIsAskedToBothDoAfterTheSameStep) {
  const std::vector<std::pair<Directive, ReleaseReason>> cases = {
      {Directive::kPause, ReleaseReason::kPaused},
      {Directive::kCancel, ReleaseReason::kCancelled},
      {Directive::kRelease, ReleaseReason::kPreempted}};
  for (const auto& [directive, reason] : cases) {
    // Rank 1 hears of it first.
    script(1).before_step = [this, directive = directive](int64_t step) {
      if (step < 3) return;
      lease_.directives[1] = directive;
      clock_.SleepFor(absl::Milliseconds(150));
    };
    EXPECT_THAT(Run(), ElementsAre(Outcome::kReleased, Outcome::kFollowed));
    EXPECT_EQ(told(0).releases.back(), reason);
    EXPECT_EQ(steps_run(0), steps_run(1));
    EXPECT_LT(steps_run(0), 10);
    EXPECT_EQ(told(0).checkpoints.back().step, steps_run(0));
    ExpectSilent();
    lease_.directives[1] = Directive::kContinue;
    told(0).checkpoints.clear();
    lease_.over = false;
    meeting_ = std::make_unique<FakeMeeting>();
    for (const auto& rank : ranks_) rank->engine.steps_run = 0;
  }
}

TEST_F(GangTest, ADrainOfAnyRankGivesTheJobBackFromACheckpoint) {
  script(1).before_step = [this](int64_t step) {
    if (step == 3) ranks_[1]->draining = true;
  };
  EXPECT_THAT(Run(), ElementsAre(Outcome::kReleased, Outcome::kFollowed));
  EXPECT_THAT(told(0).releases, ElementsAre(ReleaseReason::kDrain));
  ASSERT_THAT(told(0).checkpoints, SizeIs(1));
  EXPECT_EQ(told(0).checkpoints[0].step, 3);
  ExpectSilent();
  for (const auto& rank : ranks_) {  // a drain's answer
    EXPECT_EQ(rank->board.Get().job, "projects/default/jobs/j1");
    EXPECT_EQ(rank->board.Get().checkpoint_step, 3);
  }
}

TEST_F(GangTest, OneThatLeavesEndsTheAttemptAndANewGangGoesOnFromTheCheckpoint) {
  script(1).step_error = [](int64_t step) {
    return step < 6 ? absl::OkStatus() : absl::InternalError("out of luck");
  };
  EXPECT_THAT(Run(), ElementsAre(Outcome::kFailed, Outcome::kLost));
  ASSERT_THAT(told(0).endings, SizeIs(1));
  EXPECT_EQ(told(0).endings[0].failure->error_class, ErrorClass::kInfrastructure);
  EXPECT_EQ(told(0).endings[0].failure->reason, "PEER_LOST");
  ExpectSilent();

  script(1).step_error = [](int64_t) { return absl::OkStatus(); };
  ResumeFromLastCheckpoint();
  EXPECT_THAT(Run(), ElementsAre(Outcome::kCompleted, Outcome::kFollowed));
  EXPECT_EQ(steps_run(0), 6);
  EXPECT_EQ(steps_run(1), 6);
  EXPECT_EQ(AdapterText(told(0).endings[1].adapter_digest), "weights after 10 steps");
}

TEST_F(GangTest, IfRankZeroLeavesTheOtherWaitsForTheEndOfTheLease) {
  script(0).step_error = [](int64_t step) {
    return step < 6 ? absl::OkStatus()
                    : Error(absl::StatusCode::kResourceExhausted, "DISK_FULL", "no room");
  };
  EXPECT_THAT(Run(), ElementsAre(Outcome::kFailed, Outcome::kLost));
  EXPECT_EQ(told(0).endings.at(0).failure->reason, "DISK_FULL");
  ExpectSilent();
}

TEST_F(GangTest, OneThatCannotBeginIsNotWaitedFor) {
  script(1).prepare = absl::InternalError("no memory");
  EXPECT_THAT(Run(), ElementsAre(Outcome::kFailed, Outcome::kLost));
  EXPECT_EQ(told(0).endings.at(0).failure->reason, "PEER_LOST");
  EXPECT_THAT(told(0).endings.at(0).failure->message, HasSubstr("1 of the 2 workers"));
  EXPECT_EQ(steps_run(0), 0);
}

TEST_F(GangTest, TheErrorThatBothFindIsTold) {
  for (const size_t rank : {0, 1}) {
    script(rank).prepare = Error(absl::StatusCode::kInvalidArgument, "ROW_TOO_LONG", "row 5");
  }
  EXPECT_THAT(Run(), ElementsAre(Outcome::kFailed, Outcome::kLost));
  EXPECT_EQ(told(0).endings.at(0).failure->reason, "ROW_TOO_LONG");
}

TEST_F(GangTest, BothGoOnFromTheSameCheckpointOrNotAtAll) {
  EXPECT_THAT(Run(), ElementsAre(Outcome::kCompleted, Outcome::kFollowed));
  ResumeFromLastCheckpoint();
  ranks_[1]->job.resume_checkpoint = "sha256:" + std::string(64, 'a');  // not to be found there
  EXPECT_THAT(Run(), ElementsAre(Outcome::kFailed, Outcome::kLost));
  EXPECT_EQ(told(0).endings.at(1).failure->reason, "CHECKPOINT_MISMATCH");
  EXPECT_EQ(told(0).endings.at(1).failure->error_class, ErrorClass::kInfrastructure);
  EXPECT_EQ(steps_run(0) + steps_run(1), 0);
}

TEST_F(GangTest, WorkersThatDoNotComputeAlikeDoNotBeginAndTheCauseIsNamed) {
  const auto message = [&] {
    EXPECT_THAT(Run(), ElementsAre(Outcome::kFailed, Outcome::kLost));
    const Failure failure = *told(0).endings.back().failure;
    EXPECT_EQ(failure.reason, "WORKERS_DIFFER");
    EXPECT_EQ(failure.error_class, ErrorClass::kInfrastructure);
    EXPECT_EQ(steps_run(0) + steps_run(1), 0);
    lease_.over = false;
    meeting_ = std::make_unique<FakeMeeting>();
    return failure.message;
  };
  const TrainTerms same = script(1).terms;
  script(1).terms = {.compute_type = "bf16", .base_weights = "rounded", .rows = "rows"};
  EXPECT_THAT(message(), HasSubstr("rank 1 computes in another type than rank 0 (rank 0: fp32): "
                                   "start all that train together with the same --compute-type"));
  script(1).terms = same;
  script(1).terms.base_weights = "quantised";
  EXPECT_THAT(message(), HasSubstr("rank 1 has other base weights than rank 0 (rank 0: base)"));
  script(1).terms = same;
  script(1).terms.rows = "others";
  EXPECT_THAT(message(), HasSubstr("rank 1 has other rows or settings than rank 0"));
  ExpectSilent();
}

TEST_F(GangTest, AWaitForTheOthersEndsOnCancelDrainAndLossOfTheLease) {
  lease_.directives[0] = Directive::kCancel;
  EXPECT_EQ(RunRank(0), Outcome::kReleased);
  EXPECT_THAT(told(0).releases, ElementsAre(ReleaseReason::kCancelled));
  lease_.directives[0] = Directive::kContinue;
  lease_.over = false;
  ranks_[1]->draining = true;  // nobody waits for what it would write: it gives the lease back
  meeting_ = std::make_unique<FakeMeeting>();
  EXPECT_EQ(RunRank(1), Outcome::kReleased);
  EXPECT_THAT(told(1).releases, ElementsAre(ReleaseReason::kDrain));
  meeting_ = std::make_unique<FakeMeeting>();
  EXPECT_EQ(RunRank(0), Outcome::kLost);
  EXPECT_EQ(steps_run(0) + steps_run(1), 0);
}

TEST_F(GangTest, IfSomebodyDoesNotComeTheAttemptFails) {
  meeting_->Leave();
  EXPECT_EQ(RunRank(0), Outcome::kFailed);
  EXPECT_EQ(told(0).endings.at(0).failure->reason, "PEER_LOST");
  EXPECT_EQ(told(0).endings.at(0).failure->error_class, ErrorClass::kInfrastructure);
}

TEST_F(GangTest, OneThatFailsBeforeItMeetsTheOthersEndsTheLeaseOfAllAtOnce) {
  join_errors_[1] = Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", "no such address");
  EXPECT_THAT(Run(), ElementsAre(Outcome::kLost, Outcome::kFailed));
  EXPECT_THAT(told(1).releases, ElementsAre(ReleaseReason::kCrashed));
  EXPECT_THAT(told(1).last_release, HasSubstr("CONFIG_INVALID: no such address"));
  EXPECT_THAT(told(0).endings, IsEmpty());
  EXPECT_THAT(told(0).releases, IsEmpty());
}

TEST_F(GangTest, IfBothDoNotMeetRankZeroTells) {
  for (absl::Status& status : join_errors_)
    status = Error(absl::StatusCode::kUnavailable, "PEER_LOST", "1 came within 1m");
  EXPECT_THAT(Run(), ElementsAre(Outcome::kFailed, Outcome::kLost));
  EXPECT_EQ(told(0).endings.at(0).failure->reason, "PEER_LOST");
  ExpectSilent();
}

TEST_F(GangTest, ALeaseThatIsOverEndsASumThatNobodyJoins) {
  script(1).before_step = [this](int64_t step) {
    if (step < 3) return;
    clock_.SleepFor(absl::Milliseconds(300));  // it hangs, and the scheduler misses its beats
    lease_.over = true;
    clock_.SleepFor(absl::Milliseconds(500));
  };
  EXPECT_THAT(Run(), ElementsAre(Outcome::kLost, Outcome::kLost));
  EXPECT_THAT(told(0).endings, IsEmpty());
  ExpectSilent();
}

}  // namespace
}  // namespace crossover::worker
