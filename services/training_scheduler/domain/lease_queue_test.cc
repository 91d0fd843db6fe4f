#include "services/training_scheduler/domain/lease_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/training_scheduler/domain/leasing_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class KeepingCaller final : public LeaseCaller {
 public:
  KeepingCaller(std::vector<Result>& results, bool& there) : results_(results), there_(there) {}
  bool Gone() override { return gone; }
  bool Take(Result result) override {
    results_.push_back(std::move(result));
    return there_;
  }
  bool gone = false;

 private:
  std::vector<Result>& results_;
  bool& there_;
};

class LeaseQueueTest : public LeasingTest {
 protected:
  std::shared_ptr<KeepingCaller> Keep() {
    return std::make_shared<KeepingCaller>(results_, there_);
  }

  LeaseQueue queue_{leasing_, clock_};
  std::vector<LeaseQueue::Result> results_;
  bool there_ = true;
};

TEST_F(LeaseQueueTest, NothingIsClaimedForACallerWhoIsKnownToHaveLeft) {
  auto caller = Keep();
  queue_.Lease({"w", "i", {}}, absl::Seconds(20), caller);
  caller->gone = true;
  const JobId id = Add();
  queue_.Pump();
  EXPECT_EQ(Get(id).lease_epoch, 0);
  EXPECT_EQ(queue_.waiting(), 0u);
}

TEST_F(LeaseQueueTest, AWaitingWorkerGetsTheJobThatComes) {
  queue_.Lease({"w", "i", {}}, absl::Seconds(60), Keep());
  EXPECT_EQ(queue_.Pump(), absl::Seconds(60));
  EXPECT_TRUE(results_.empty());
  const JobId id = Add();
  queue_.Pump();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ((*results_[0])->job.id, id);
}

TEST_F(LeaseQueueTest, WorkersThatWaitTogetherShareAJobAndLoseItTogether) {
  LeaseRequest request{"a", "a-1", {}};
  request.capabilities.gang = 2;
  queue_.Lease(request, absl::Seconds(60), Keep());
  request.worker = "b";
  request.incarnation = "b-1";
  request.rendezvous = "b:7000";
  const JobId id = Add();
  ASSERT_OK(jobs_.Update(id, [](Job& job, absl::Time, Effects&) {
    job.requirements.gang_size = 2;
    return absl::OkStatus();
  }));
  queue_.Pump();
  EXPECT_TRUE(results_.empty());  // one alone does not get it
  queue_.Lease(request, absl::Seconds(60), Keep());
  queue_.Pump();
  ASSERT_THAT(results_, SizeIs(2));
  const GrantedLease* ranks[2] = {};
  for (const LeaseQueue::Result& result : results_) {
    const GrantedLease& lease = result->value();
    EXPECT_EQ(lease.job.id, id);
    EXPECT_EQ(lease.gang->size, 2);
    EXPECT_EQ(lease.gang->rendezvous, "b:7000");
    ranks[lease.gang->rank] = &lease;
  }
  ASSERT_NE(ranks[0], nullptr);
  ASSERT_NE(ranks[1], nullptr);
  const LeaseToken leader = ranks[0]->token, other = ranks[1]->token;
  EXPECT_EQ(Get(id).lease->worker, "b");  // it has an address, so it leads

  // Rank 0 alone writes; the lease lasts as long as both are heard of.
  EXPECT_OK(leasing_.RecordCheckpoint(leader, {.step = 3, .digest = "sha256:c"}));
  EXPECT_THAT(leasing_.RecordCheckpoint(other, {.step = 4, .digest = "sha256:d"}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(leasing_.Complete(other, Success()), StatusIs(absl::StatusCode::kInvalidArgument));
  clock_.Advance(options_.ttl - absl::Seconds(1));
  EXPECT_OK(leasing_.Heartbeat(leader, {.worker_seq = 1}));
  EXPECT_EQ(Get(id).lease->expire_time, clock_.Now() + absl::Seconds(1));
  EXPECT_OK(leasing_.Heartbeat(other, {.worker_seq = 1}));
  EXPECT_EQ(Get(id).lease->expire_time, clock_.Now() + options_.ttl);

  ASSERT_OK_AND_ASSIGN(std::optional<Job> crashed, leasing_.Crashed("a", "a-1"));
  EXPECT_EQ(crashed->id, id);
  EXPECT_EQ(Get(id).state, JobState::kQueued);
  EXPECT_EQ(Get(id).lease_loss_count, 1);
  EXPECT_THAT(leasing_.Heartbeat(leader, {.worker_seq = 2}), HasReasonThat("LEASE_LOST"));
}

class UnlikeWorkersTest : public LeaseQueueTest {
 protected:
  void Wait(const std::string& name, int64_t memory, int32_t gang = 2,
            std::vector<ComputeType> types = {}) {
    LeaseRequest request{name, name + "-1", {}};
    request.capabilities.compute_types = std::move(types);
    request.capabilities.gang = gang;
    request.capabilities.memory_bytes = memory;
    request.rendezvous = name + ":7000";
    queue_.Lease(request, absl::Seconds(60), Keep());
  }
  JobId AddShared(int32_t size, int64_t memory, std::optional<ComputeType> type = std::nullopt) {
    const JobId id = Add();
    EXPECT_OK(jobs_.Update(id, [&](Job& job, absl::Time, Effects&) {
      job.requirements.gang_size = size;
      job.needed_memory_bytes = memory;
      job.spec.training.compute_type = type;
      return absl::OkStatus();
    }));
    return id;
  }
  // Who shares it, rank 0 first.
  std::vector<std::string> Holders(const JobId& id) {
    std::vector<std::string> names;
    const Job job = Get(id);
    if (!job.lease.has_value()) return names;
    for (const GangMember& member : job.lease->gang) names.push_back(member.worker);
    return names;
  }
};

TEST_F(UnlikeWorkersTest, ShareAJobThatFitsTheSmaller) {
  Wait("small", 8);
  Wait("large", 16, 4);
  const JobId too_large = AddShared(2, 12);
  queue_.Pump();
  EXPECT_TRUE(results_.empty());
  const JobId id = AddShared(2, 8);
  queue_.Pump();
  ASSERT_THAT(results_, SizeIs(2));
  EXPECT_THAT(Holders(id), ElementsAre("small", "large"));
  EXPECT_EQ(Get(too_large).state, JobState::kQueued);
  for (const LeaseQueue::Result& result : results_) {
    EXPECT_EQ((*result)->job.id, id);
    EXPECT_EQ((*result)->gang->rendezvous, "small:7000");
  }
}

TEST_F(UnlikeWorkersTest, OneThatIsTooSmallIsLeftOutOfAJobThatTheOthersCanHold) {
  Wait("small", 8);
  Wait("large", 16);
  Wait("larger", 24, 3);
  const JobId id = AddShared(2, 12);
  queue_.Pump();
  EXPECT_THAT(Holders(id), ElementsAre("large", "larger"));
  EXPECT_EQ(queue_.waiting(), 1u);
  // Three are enough for this one, but they take gangs of two.
  const JobId of_three = AddShared(3, 1);
  Wait("a", 8);
  Wait("b", 8);
  queue_.Pump();
  EXPECT_THAT(Holders(of_three), ElementsAre());
}

TEST_F(UnlikeWorkersTest, OneThatSaysThatItHasFailedEndsTheLeaseOfAll) {
  Wait("a", 8);
  Wait("b", 8);
  const JobId id = AddShared(2, 8);
  queue_.Pump();
  ASSERT_THAT(results_, SizeIs(2));
  std::string follower;
  for (const LeaseQueue::Result& result : results_) {
    if ((*result)->gang->rank == 0) continue;
    follower = (*result)->job.lease->gang.at(1).worker;
    ASSERT_OK(leasing_.Release((*result)->token, ReleaseReason::kCrashed, "DISK_FULL: no room"));
  }
  // It would take the job again at once, and fail again.
  EXPECT_EQ(Get(id).state, JobState::kBlocked);
  EXPECT_EQ(Get(id).start_time, clock_.Now() + options_.retry.Delay(1));
  EXPECT_EQ(Get(id).state_reason, "tried again after a pause: worker " + follower +
                                      " gave the lease back: CRASHED: DISK_FULL: no room");
  EXPECT_EQ(Get(id).lease_loss_count, 1);
  EXPECT_THAT(leasing_.Heartbeat((*results_[0])->token, {}), HasReasonThat("LEASE_LOST"));
}

TEST_F(UnlikeWorkersTest, OnlyThoseThatComputeInOneTypeShareAJob) {
  using Types = std::vector<ComputeType>;
  const Types both = {ComputeType::kBfloat16, ComputeType::kFloat32};
  const Types single = {ComputeType::kFloat32};
  Wait("new", 8, 2, both);
  Wait("old", 8, 2, single);
  Wait("unknown", 8);
  const JobId id = AddShared(2, 1);
  queue_.Pump();
  EXPECT_THAT(Holders(id), ElementsAre()) << "they would compute it in two types";
  Wait("newer", 16, 2, both);
  queue_.Pump();
  EXPECT_THAT(Holders(id), ElementsAre("new", "newer"));
  EXPECT_EQ(queue_.waiting(), 2u);
  // Who can do otherwise does so for a job that asks for it.
  Wait("third", 8, 2, both);
  const JobId of_float32 = AddShared(2, 1, ComputeType::kFloat32);
  queue_.Pump();
  EXPECT_THAT(Holders(of_float32), UnorderedElementsAre("old", "third"));
}

TEST_F(UnlikeWorkersTest, TheFirstInRankGoesFirstAndToTheSmallestThatHoldIt) {
  Wait("largest", 32);
  Wait("small", 8);
  Wait("large", 16);
  Wait("medium", 12);
  const JobId first = AddShared(2, 10);
  const JobId second = AddShared(2, 4);
  queue_.Pump();
  EXPECT_THAT(Holders(first), ElementsAre("medium", "large"));
  EXPECT_THAT(Holders(second), ElementsAre("small", "largest"));
}

TEST_F(LeaseQueueTest, AWaitEndsEmptyWhenItsTimeIsOver) {
  queue_.Lease({"w", "i", {}}, absl::Seconds(20), Keep());
  clock_.Advance(absl::Seconds(20));
  queue_.Pump();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_FALSE(results_[0]->has_value());
}

TEST_F(LeaseQueueTest, AJobGrantedToACallerWhoHasLeftGoesBackAtNoCost) {
  there_ = false;
  queue_.Lease({"w", "i", {}}, absl::Seconds(20), Keep());
  const JobId id = Add();
  queue_.Pump();
  EXPECT_EQ(Get(id).state, JobState::kQueued);
  EXPECT_EQ(Get(id).lease_loss_count, 0);
}

TEST_F(LeaseQueueTest, ClosingEndsAllWaits) {
  queue_.Lease({"w", "i", {}}, absl::Seconds(20), Keep());
  queue_.Close();
  queue_.Lease({"w", "i", {}}, absl::Seconds(20), Keep());
  EXPECT_THAT(results_, SizeIs(2));
}

TEST_F(LeaseQueueTest, WorkersWithoutANameAreRefused) {
  queue_.Lease({"", "i", {}}, absl::ZeroDuration(), Keep());
  EXPECT_THAT(results_.at(0), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace crossover::scheduler
