// The checkpoints that jobs write under their leases and go on from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/training_scheduler/domain/leasing_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;

TEST_F(LeasingTest, EarlierCheckpointsComeWithTheLastOne) {
  const JobId id = Add();
  const GrantedLease first = Lease("a");
  EXPECT_THAT(first.earlier, ::testing::IsEmpty());
  for (const int64_t step : {4, 8, 12}) {
    ASSERT_OK(leasing_.RecordCheckpoint(
        first.token, {.step = step, .digest = absl::StrCat("sha256:first-", step)}));
  }
  LetExpire(id);
  const GrantedLease second = Lease("a");
  EXPECT_EQ(second.resume->step, 12);
  ASSERT_EQ(second.earlier.size(), 2u);
  EXPECT_EQ(second.earlier[0].digest, "sha256:first-8");
  EXPECT_EQ(second.earlier[1].digest, "sha256:first-4");
  // A new epoch went on from step 4: what it writes is later than step 8 of the epoch before.
  ASSERT_OK(leasing_.RecordCheckpoint(second.token, {.step = 6, .digest = "sha256:second-6"}));
  ASSERT_OK(leasing_.RecordCheckpoint(second.token, {.step = 7, .digest = "sha256:second-7"}));
  LetExpire(id);
  const GrantedLease third = Lease("a");
  EXPECT_EQ(third.resume->digest, "sha256:second-7");
  ASSERT_GE(third.earlier.size(), 1u);
  EXPECT_EQ(third.earlier[0].digest, "sha256:second-6");
}

TEST_F(LeasingTest, AfterADamagedCheckpointTheNewEpochsCheckpointsCount) {
  const JobId id = Add();
  const GrantedLease first = Lease("a");
  for (const int64_t step : {4, 8}) {
    ASSERT_OK(leasing_.RecordCheckpoint(
        first.token, {.step = step, .digest = absl::StrCat("sha256:first-", step)}));
  }
  LetExpire(id);
  // Step 8 cannot be read, so this worker starts anew.
  const GrantedLease second = Lease("a");
  EXPECT_EQ(second.resume->digest, "sha256:first-8");
  ASSERT_OK(leasing_.RecordCheckpoint(second.token, {.step = 4, .digest = "sha256:second-4"}));
  ASSERT_OK(leasing_.RecordCheckpoint(second.token, {.step = 4, .digest = "sha256:repeat"}));
  LetExpire(id);
  const GrantedLease third = Lease("a");
  EXPECT_EQ(third.resume->step, 4);
  EXPECT_EQ(third.resume->digest, "sha256:second-4");
  ASSERT_OK_AND_ASSIGN(std::vector<Checkpoint> checkpoints, jobs_.Checkpoints(id));
  EXPECT_EQ(checkpoints.at(0).digest, "sha256:second-4");
  EXPECT_EQ(checkpoints.at(0).epoch, 2);
}

TEST_F(LeasingTest, TheLastThreeTheBestAndThePinnedCheckpointsAreKeptAndTheOthersReleased) {
  const JobId id = Add();
  const GrantedLease lease = Lease("a");
  std::vector<std::string> released;
  const auto record = [&](int64_t step, double loss) {
    Checkpoint checkpoint{.step = step, .digest = absl::StrCat("sha256:c", step)};
    checkpoint.adapter_digest = absl::StrCat("sha256:a", step);
    checkpoint.metrics = {{"valid_loss", loss}};
    ASSERT_OK_AND_ASSIGN(RecordedCheckpoint recorded,
                         leasing_.RecordCheckpoint(lease.token, checkpoint));
    released.insert(released.end(), recorded.released.begin(), recorded.released.end());
  };
  record(1, 5);
  ASSERT_OK(jobs_.PinCheckpoint(id, 1, true));
  record(2, 1);
  for (const int64_t step : {3, 4, 5, 6}) record(step, 2);
  std::vector<int64_t> kept;
  const std::vector<Checkpoint> checkpoints = *jobs_.Checkpoints(id);
  for (const Checkpoint& checkpoint : checkpoints) kept.push_back(checkpoint.step);
  EXPECT_THAT(kept, ElementsAre(1, 2, 4, 5, 6));
  EXPECT_THAT(released, ElementsAre("sha256:a3", "sha256:c3"));
}

}  // namespace
}  // namespace crossover::scheduler
