// What every JobStore promises of the places in line of jobs that come back to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/json/digest.h"
#include "services/training_scheduler/storage/job_store_fixture.h"

namespace crossover::scheduler {
namespace {

class JobPlacesConformance : public JobStoreConformance {
 protected:
  Job ClaimOne() {
    ClaimRequest request = Claimant("w");
    request.claimants[0].token_hash = DigestOf(kSecret);
    absl::StatusOr<std::vector<Job>> claimed = store().Claim(request);
    EXPECT_OK(claimed);
    EXPECT_EQ(claimed->size(), 1u);
    return claimed->at(0);
  }

  void GiveBackFor(const Job& leased, ReleaseReason reason) {
    EXPECT_OK(store().Update(leased.id, [&](Job& job, absl::Time now, Effects& effects) {
      return Release(job, {leased.id, leased.lease_epoch, kSecret}, reason, "", RetryPolicy{}, now,
                     effects);
    }));
  }

  static constexpr char kSecret[] = "00112233445566778899aabbccddeeff";
};

TEST_P(JobPlacesConformance, ADrainedOrLostJobIsClaimedBeforeThoseThatCameWhileItRan) {
  const Job first = Add();
  const Job leased = ClaimOne();
  const Job later = Add();
  GiveBackFor(leased, ReleaseReason::kDrain);
  ASSERT_OK_AND_ASSIGN(const Job drained, store().Get(first.id));
  EXPECT_EQ(drained.line_time, first.ready_time);
  EXPECT_GT(*drained.ready_time, *later.ready_time);  // since when it waits
  EXPECT_EQ(*store().QueuePosition(drained), 1);
  EXPECT_EQ(*store().QueuePosition(*store().Get(later.id)), 2);

  EXPECT_EQ(ClaimOne().id, first.id);
  MakeExpired(first.id);
  ASSERT_OK(store().Update(first.id, [](Job& job, absl::Time now, Effects& effects) {
    return Expire(job, RetryPolicy{}, now, effects);
  }));
  const Job again = ClaimOne();
  EXPECT_EQ(again.id, first.id);
  GiveBackFor(again, ReleaseReason::kPreempted);
  EXPECT_EQ(store().Get(first.id)->line_time, std::nullopt);
  EXPECT_EQ(ClaimOne().id, later.id);
}

TEST_P(JobPlacesConformance, AnotherPriorityMovesAJobFromThePlaceThatItKept) {
  const Job first = Add();
  const Job leased = ClaimOne();
  Job draft = Draft();
  draft.priority = 1;
  const Job urgent = Add(draft);
  GiveBackFor(leased, ReleaseReason::kDrain);
  EXPECT_EQ(*store().QueuePosition(*store().Get(first.id)), 2);
  ASSERT_OK(store().Update(first.id, [](Job& job, absl::Time, Effects&) {
    job.priority = 1;
    return absl::OkStatus();
  }));
  EXPECT_EQ(*store().QueuePosition(*store().Get(first.id)), 1);
  EXPECT_EQ(ClaimOne().id, first.id);
  EXPECT_EQ(ClaimOne().id, urgent.id);
}

INSTANTIATE_TEST_SUITE_P(Stores, JobPlacesConformance, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace crossover::scheduler
