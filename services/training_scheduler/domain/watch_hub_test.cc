#include "services/training_scheduler/domain/watch_hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;

class KeepingSink final : public WatchSink {
 public:
  bool Send(const WatchItem& item) override {
    if (room == 0) return false;
    --room;
    token = item.resume_token;
    if (const JobEvent* event = std::get_if<JobEvent>(&item.content)) {
      sequences.push_back(event->sequence);
    }
    if (const MetricPoint* point = std::get_if<MetricPoint>(&item.content)) {
      steps.push_back(point->step);
    }
    if (const Job* job = std::get_if<Job>(&item.content)) {
      ++snapshots;
      reason = job->state_reason;
    }
    return true;
  }
  bool Gone() override { return gone; }
  void End(absl::Status status) override { end = status; }

  int room = 1000;
  bool gone = false;
  int snapshots = 0;
  std::string reason;  // of the last snapshot
  std::vector<int64_t> sequences;
  std::vector<int64_t> steps;
  std::string token;
  std::optional<absl::Status> end;
};

class WatchHubTest : public ::testing::Test {
 protected:
  WatchHubTest() {
    Job job;
    job.id = id_;
    job.project = "default";
    EXPECT_OK(jobs_.Insert(job, {}, [](Job& mine, absl::Time now, Effects& effects) {
      return Accept(mine, {}, Dependencies::kMet, now, effects);
    }));  // events 1 to 3: created, resolved, queued
  }

  void Report(int64_t step) {
    EXPECT_OK(jobs_.Update(id_, [&](Job&, absl::Time, Effects& effects) {
      MetricPoint point;
      point.step = step;
      effects.metrics.push_back(point);
      return absl::OkStatus();
    }));
  }

  const JobId id_ = "00000000000000000000000001";
  FakeClock clock_;
  FakeModelStore models_{clock_};
  FakeJobStore jobs_{clock_, models_};
  WatchHub hub_{jobs_, clock_};
  std::shared_ptr<KeepingSink> sink_ = std::make_shared<KeepingSink>();
};

TEST_F(WatchHubTest, AStreamStartsWithASnapshotAndAllEventsAndEndsWithTheJob) {
  ASSERT_OK(hub_.Watch(id_, "", sink_));
  EXPECT_TRUE(hub_.Pump());
  EXPECT_EQ(sink_->snapshots, 1);
  EXPECT_THAT(sink_->sequences, ElementsAre(1, 2, 3));
  ASSERT_OK(jobs_.Update(
      id_, [](Job& job, absl::Time now, Effects& effects) { return Cancel(job, now, effects); }));
  EXPECT_FALSE(hub_.Pump());
  EXPECT_THAT(sink_->sequences, ElementsAre(1, 2, 3, 4));
  EXPECT_OK(*sink_->end);
}

TEST_F(WatchHubTest, ATokenReplaysWithoutGapOrRepeat) {
  sink_->room = 3;  // snapshot and two events
  ASSERT_OK(hub_.Watch(id_, "", sink_));
  hub_.Pump();
  sink_->gone = true;
  hub_.Pump();
  Report(1);
  auto second = std::make_shared<KeepingSink>();
  ASSERT_OK(hub_.Watch(id_, sink_->token, second));
  hub_.Pump();
  EXPECT_THAT(sink_->sequences, ElementsAre(1, 2));
  EXPECT_THAT(second->sequences, ElementsAre(3));
  EXPECT_THAT(second->steps, ElementsAre(1));
}

TEST_F(WatchHubTest, ASlowReaderMissesNothing) {
  sink_->room = 1;
  ASSERT_OK(hub_.Watch(id_, "", sink_));
  hub_.Pump();
  for (int i = 0; i < 10; ++i) {
    sink_->room = 2;
    hub_.Pump();
  }
  EXPECT_THAT(sink_->sequences, ElementsAre(1, 2, 3));
}

TEST_F(WatchHubTest, QuietJobsCostNoMessages) {
  ASSERT_OK(hub_.Watch(id_, "", sink_));
  hub_.Pump();
  hub_.Pump();
  hub_.Pump();
  EXPECT_EQ(sink_->snapshots, 1);
}

TEST_F(WatchHubTest, WhatASharedJobWaitsForIsToldAndToldAgainWhenItChanges) {
  ASSERT_OK(jobs_.Update(id_, [](Job& job, absl::Time, Effects&) {
    job.requirements.gang_size = 2;
    return absl::OkStatus();
  }));
  ASSERT_OK(hub_.Watch(id_, "", sink_));
  hub_.Pump();
  EXPECT_EQ(
      sink_->reason,
      "validated; waits for 2 workers that are idle at once: 0 of 0 that can take it are idle");
  WorkerRecord worker;
  worker.name = "w";
  worker.incarnation = "life";
  worker.capabilities.gang = 2;
  ASSERT_OK(jobs_.SawWorker(worker));
  clock_.Advance(absl::Seconds(1));
  hub_.Pump();
  EXPECT_THAT(sink_->reason, EndsWith("1 of 1 that can take it is idle"));
  clock_.Advance(absl::Seconds(1));
  hub_.Pump();
  EXPECT_EQ(sink_->snapshots, 2) << "nothing is new";
  EXPECT_EQ(jobs_.Get(id_)->state_reason, "validated");
}

TEST_F(WatchHubTest, TokensOlderThanSevenDaysAndStrangeOnesAreRefused) {
  ASSERT_OK(hub_.Watch(id_, "", sink_));
  hub_.Pump();
  EXPECT_THAT(hub_.Watch(id_, "abc", sink_), HasReasonThat("RESUME_TOKEN_EXPIRED"));
  clock_.Advance(absl::Hours(24 * 7 + 1));
  EXPECT_THAT(hub_.Watch(id_, sink_->token, sink_), HasReasonThat("RESUME_TOKEN_EXPIRED"));
}

TEST_F(WatchHubTest, ClosingTellsWatchersToComeBack) {
  ASSERT_OK(hub_.Watch(id_, "", sink_));
  hub_.Close();
  EXPECT_THAT(*sink_->end, HasReasonThat("SERVER_DRAINING"));
  EXPECT_THAT(hub_.Watch(id_, "", sink_), HasReasonThat("SERVER_DRAINING"));
}

TEST_F(WatchHubTest, AnUnknownJobIsNotFound) {
  EXPECT_THAT(hub_.Watch("00000000000000000000000009", "", sink_),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace crossover::scheduler
