// What every JobStore promises of jobs that several workers share.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "services/training_scheduler/storage/job_store_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_P(JobStoreConformance, AGangIsLeasedWholeOrNotAtAll) {
  Job draft = Draft();
  draft.requirements.gang_size = 3;
  const JobId id = Add(draft).id;
  ClaimRequest request = Claimant("a");
  request.claimants = {{"a", "1", "hash a", "a:7000"}, {"b", "1", "hash b", ""}};
  EXPECT_THAT(*store().Claim(request), IsEmpty());  // is for nobody alone
  EXPECT_THAT(*store().ClaimGang(request), IsEmpty());
  request.claimants.push_back({"c", "1", "hash c", ""});
  request.claimants.push_back({"d", "1", "hash d", ""});
  ASSERT_OK(store().SetQuota("default", 2));
  EXPECT_THAT(*store().ClaimGang(request), IsEmpty());  // it would hold three places
  ASSERT_OK(store().SetQuota("default", 3));
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().ClaimGang(request));
  ASSERT_THAT(claimed, SizeIs(1));
  ASSERT_OK_AND_ASSIGN(Job job, store().Get(id));
  ASSERT_TRUE(job.lease.has_value());
  EXPECT_EQ(job.lease->worker, "a");
  EXPECT_EQ(job.lease->rendezvous, "a:7000");
  ASSERT_THAT(job.lease->gang, SizeIs(3));
  EXPECT_EQ(job.lease->gang[2].worker, "c");
  EXPECT_EQ(job.lease->gang[2].token_hash, "hash c");
  EXPECT_EQ(job.lease->gang[1].expire_time, job.lease->expire_time);
  EXPECT_THAT(*store().LeasedBy("b", "1"), ElementsAre(id));
  EXPECT_THAT(*store().LeasedBy("b", "2"), IsEmpty());
  EXPECT_THAT(*store().LeasedBy("d", ""), IsEmpty());

  Add();
  EXPECT_THAT(*store().Claim(Claimant("e")), IsEmpty());  // the quota is used up

  ASSERT_OK(store().Update(id, [](Job& mine, absl::Time now, Effects& effects) {
    return Crash(mine, "b", "1", "", RetryPolicy{}, now, effects);
  }));
  EXPECT_FALSE(store().Get(id)->lease.has_value());
  EXPECT_THAT(*store().Claim(Claimant("e")), SizeIs(1));

  ASSERT_OK(store().Update(id, [](Job& mine, absl::Time now, Effects&) {
    mine.actual.seconds = 10;
    mine.actual.tokens = 6000;
    mine.state = JobState::kSucceeded;
    mine.lease.reset();
    mine.finish_time = now;
    return absl::OkStatus();
  }));
  EXPECT_EQ(store().Rate("sha256:base")->tokens_per_second, 200);  // of one of the three
}

TEST_P(JobStoreConformance, AGangIsOfTheClaimantsThatCanHoldTheJob) {
  Job draft = Draft();
  draft.requirements = {.device = "", .memory_bytes = 1000, .gang_size = 2};
  const JobId large = Add(draft).id;
  draft.id = ids_.NextId();
  draft.requirements.memory_bytes = 10;
  const JobId small = Add(draft).id;
  draft.id = ids_.NextId();
  draft.requirements.gang_size = 4;
  Add(draft);
  ClaimRequest request = Claimant("w");
  request.claimants.clear();
  const auto arrive = [&](const std::string& name, int64_t memory, int32_t gang) {
    scheduler::Claimant claimant{name, "1", "hash " + name, name + ":7000"};
    claimant.memory_bytes = memory;
    claimant.gang = gang;
    request.claimants.push_back(std::move(claimant));
  };
  arrive("alone", 4000, 1);
  arrive("a", 2000, 2);
  EXPECT_THAT(*store().ClaimGang(request), IsEmpty());
  arrive("b", 500, 4);
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().ClaimGang(request));
  ASSERT_THAT(claimed, SizeIs(1));
  EXPECT_EQ(claimed[0].id, small);
  EXPECT_EQ(claimed[0].lease->gang.at(0).worker, "b");
  EXPECT_EQ(claimed[0].lease->gang.at(1).worker, "a");
  arrive("c", 0, 0);  // not known: all fits
  ASSERT_OK_AND_ASSIGN(claimed, store().ClaimGang(request));
  ASSERT_THAT(claimed, SizeIs(1));
  EXPECT_EQ(claimed[0].id, large);
  EXPECT_EQ(claimed[0].lease->rendezvous, "a:7000");
  EXPECT_EQ(claimed[0].lease->gang.at(1).worker, "c");
}

TEST_P(JobStoreConformance, AGangComputesInOneType) {
  Job draft = Draft();
  draft.requirements.gang_size = 2;
  const JobId first = Add(draft).id;
  draft.id = ids_.NextId();
  draft.spec.training.compute_type = ComputeType::kFloat32;
  const JobId of_float32 = Add(draft).id;
  ClaimRequest request = Claimant("w");
  request.claimants.clear();
  const auto arrive = [&](const std::string& name, std::vector<ComputeType> types) {
    scheduler::Claimant claimant{name, "1", "hash " + name, name + ":7000"};
    claimant.compute_types = std::move(types);
    request.claimants.push_back(std::move(claimant));
  };
  arrive("old", {ComputeType::kFloat32});
  arrive("new", {ComputeType::kBfloat16, ComputeType::kFloat32});
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().ClaimGang(request));
  ASSERT_THAT(claimed, SizeIs(1));
  EXPECT_EQ(claimed[0].id, of_float32) << "the first in rank would be computed in two types";
  request.claimants.clear();
  arrive("forced", {ComputeType::kBfloat16});
  arrive("newer", {ComputeType::kBfloat16, ComputeType::kFloat32});
  ASSERT_OK_AND_ASSIGN(claimed, store().ClaimGang(request));
  ASSERT_THAT(claimed, SizeIs(1));
  EXPECT_EQ(claimed[0].id, first);
  EXPECT_THAT(*store().ClaimGang(request), IsEmpty());
}

}  // namespace
}  // namespace crossover::scheduler
