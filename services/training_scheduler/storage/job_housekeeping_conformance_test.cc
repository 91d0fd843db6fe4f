// What every JobStore promises the housekeeper: what is due, what is removed, who leads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "services/training_scheduler/storage/job_store_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TEST_P(JobStoreConformance, DueNamesExpiredBlockedAndUnvalidatedJobs) {
  const Job running = Add();
  ASSERT_OK(store().Claim(Claimant("w")));
  Job draft = Draft();
  ASSERT_OK_AND_ASSIGN(Job unvalidated, store().Insert(draft, {}, [](Job&, absl::Time, Effects&) {
    return absl::OkStatus();
  }));
  draft = Draft();
  draft.start_time = absl::Now() + absl::Hours(1);
  ASSERT_OK_AND_ASSIGN(Job later, store().Insert(draft, {}, &Queue));
  EXPECT_EQ(later.state, JobState::kBlocked);
  Add();
  EXPECT_THAT(*store().Due(10), ElementsAre(unvalidated.id));
  MakeExpired(running.id);
  EXPECT_THAT(*store().Due(10), ElementsAre(running.id, unvalidated.id));
  EXPECT_THAT(*store().Due(1), SizeIs(1));
}

TEST_P(JobStoreConformance, AnExpiredLeaseIsDueBeforeOlderJobsThatOnlyWait) {
  const Job unfinished = Add();
  ASSERT_OK(store().Claim(Claimant("w")));
  for (int i = 0; i < 3; ++i) {
    Job draft = Draft();
    draft.depends_on = {unfinished.id};
    ASSERT_OK(store().Insert(draft, {}, [](Job& job, absl::Time now, Effects& effects) {
      return Accept(job, {}, Dependencies::kWaiting, now, effects);
    }));
  }
  ASSERT_OK_AND_ASSIGN(Job unvalidated, store().Insert(Draft(), {}, [](Job&, absl::Time, Effects&) {
    return absl::OkStatus();
  }));
  Job draft = Draft();
  draft.deadline = absl::Now() - absl::Seconds(1);
  const Job overdue = Add(draft);
  EXPECT_THAT(*store().Due(10), ElementsAre(overdue.id, unvalidated.id));
  ASSERT_OK(store().Update(overdue.id, &EndOverdue));
  const Job leased = Add();
  ASSERT_OK(store().Claim(Claimant("w")));
  MakeExpired(leased.id);
  EXPECT_THAT(*store().Due(1), ElementsAre(leased.id));
  EXPECT_THAT(*store().Due(10), ElementsAre(leased.id, unvalidated.id));
}

TEST_P(JobStoreConformance, ABlockedJobIsDueWhenItsDependenciesHaveEndedOrOneHasFailed) {
  const Job first = Add();
  const Job second = Add();
  Job draft = Draft();
  draft.depends_on = {first.id, second.id};
  ASSERT_OK_AND_ASSIGN(Job waiting,
                       store().Insert(draft, {}, [](Job& job, absl::Time now, Effects& effects) {
                         return Accept(job, {}, Dependencies::kWaiting, now, effects);
                       }));
  const auto end = [&](const JobId& id, JobState state) {
    ASSERT_OK(store().Update(id, [&](Job& job, absl::Time now, Effects&) {
      job.state = state;
      job.finish_time = now;
      return absl::OkStatus();
    }));
  };
  EXPECT_THAT(*store().Due(10), IsEmpty());
  end(first.id, JobState::kSucceeded);
  EXPECT_THAT(*store().Due(10), IsEmpty());
  end(second.id, JobState::kSucceeded);
  EXPECT_THAT(*store().Due(10), ElementsAre(waiting.id));
  ASSERT_OK(store().Update(first.id, [](Job& job, absl::Time, Effects&) {
    job.state = JobState::kBlocked;
    job.finish_time.reset();
    job.start_time = absl::Now() + absl::Hours(1);
    return absl::OkStatus();
  }));
  EXPECT_THAT(*store().Due(10), IsEmpty());
  ASSERT_OK(store().Update(second.id, [](Job& job, absl::Time, Effects&) {
    job.state = JobState::kFailed;
    return absl::OkStatus();
  }));
  EXPECT_THAT(*store().Due(10), ElementsAre(waiting.id));
}

TEST_P(JobStoreConformance, WhatEndedLongAgoIsRemovedUnlessAnotherJobMayWaitForIt) {
  const auto finish = [&](const JobId& id) {
    ASSERT_OK(store().Update(
        id, [](Job& job, absl::Time now, Effects& effects) { return Cancel(job, now, effects); }));
  };
  const Job old = Add(Draft(), {"r-1", "payload"}), needed = Add(), open = Add();
  Job draft = Draft();
  draft.depends_on = {needed.id};
  const Job waiting = Add(draft);
  finish(old.id);
  finish(needed.id);
  EXPECT_EQ(*store().RemoveEnded(absl::Hours(1), 10), 0);
  EXPECT_THAT(*store().Events(old.id, 0, 10), Not(IsEmpty()));
  EXPECT_EQ(*store().RemoveEnded(absl::ZeroDuration(), 10), 1);
  EXPECT_THAT(store().Get(old.id), StatusIs(absl::StatusCode::kNotFound));
  const absl::StatusOr<std::vector<JobEvent>> left = store().Events(old.id, 0, 10);
  // Whether the job exists need not be looked up for its events.
  if (left.ok()) {
    EXPECT_THAT(*left, IsEmpty());
  } else {
    EXPECT_THAT(left, StatusIs(absl::StatusCode::kNotFound));
  }
  EXPECT_THAT(*store().Events(needed.id, 0, 10), Not(IsEmpty()));
  EXPECT_FALSE(store().FindCreated("default", {"r-1", "payload"})->has_value());
  for (const JobId& id : {needed.id, open.id, waiting.id}) EXPECT_OK(store().Get(id));

  ASSERT_OK(store().SawWorker({.name = "w", .incarnation = "i"}));
  ASSERT_OK(store().Forget(absl::Hours(1)));
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1));
  ASSERT_OK(store().Forget(absl::ZeroDuration()));
  EXPECT_THAT(*store().Workers("", 10), IsEmpty());
}

TEST_P(JobStoreConformance, ALeaderRunsItsPassAndReturnsItsError) {
  int runs = 0;
  EXPECT_OK(store().AsLeader([&] {
    ++runs;
    return absl::OkStatus();
  }));
  EXPECT_EQ(runs, 1);
  EXPECT_THAT(store().AsLeader([] { return absl::AbortedError("no"); }),
              StatusIs(absl::StatusCode::kAborted));
}

}  // namespace
}  // namespace crossover::scheduler
