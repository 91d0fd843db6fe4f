// What every JobStore promises of claims: who gets which job, in which order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "services/training_scheduler/storage/job_store_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_P(JobStoreConformance, AClaimGivesALeaseAndAnEvent) {
  const Job added = Add();
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().Claim(Claimant("worker-a")));
  ASSERT_THAT(claimed, SizeIs(1));
  const Job& job = claimed[0];
  EXPECT_EQ(job.id, added.id);
  EXPECT_EQ(job.state, JobState::kRunning);
  EXPECT_EQ(job.lease_epoch, 1);
  ASSERT_TRUE(job.lease.has_value());
  EXPECT_EQ(job.lease->worker, "worker-a");
  EXPECT_EQ(job.lease->incarnation, "life-1");
  EXPECT_EQ(job.lease->expire_time - job.lease->grant_time, absl::Seconds(30));
  EXPECT_EQ(job.worker, "worker-a");
  EXPECT_EQ(job.state_reason, "leased to worker-a");
  EXPECT_TRUE(job.run_time.has_value());
  EXPECT_GT(job.revision, added.revision);
  ASSERT_OK_AND_ASSIGN(std::vector<JobEvent> events, store().Events(job.id, 3, 10));
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].sequence, 4);
  EXPECT_EQ(events[0].type, EventType::kLeased);
  EXPECT_EQ(events[0].data, R"({"from":"QUEUED","to":"RUNNING"})");
  EXPECT_THAT(*store().Claim(Claimant("worker-b")), IsEmpty());
}

TEST_P(JobStoreConformance, ClaimsFollowRankAndFitTheClaimant) {
  Job late = Draft();
  const Job first = Add();
  late.priority = 5;
  const Job urgent = Add(late);
  Job other = Draft();
  other.queue = "gpu";
  const Job elsewhere = Add(other);
  ClaimRequest request = Claimant("w", 10);
  request.capabilities.queues = {"default"};
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().Claim(request));
  std::vector<JobId> ids;
  for (const Job& job : claimed) ids.push_back(job.id);
  EXPECT_THAT(ids, ::testing::UnorderedElementsAre(urgent.id, first.id));
  request = Claimant("w");
  request.capabilities.kinds = {JobKind::kExport};
  EXPECT_THAT(*store().Claim(request), IsEmpty());
  request.capabilities.kinds = {JobKind::kExport, JobKind::kSft};
  EXPECT_EQ(store().Claim(request)->at(0).id, elsewhere.id);
}

TEST_P(JobStoreConformance, TheUrgentAndThenTheOlderJobIsClaimedFirst) {
  const Job old = Add();
  const Job young = Add();
  Job draft = Draft();
  draft.priority = 1;
  const Job urgent = Add(draft);
  EXPECT_EQ(store().QueuePosition(*store().Get(urgent.id)).value(), 1);
  EXPECT_EQ(store().QueuePosition(*store().Get(young.id)).value(), 3);
  for (const JobId& id : {urgent.id, old.id, young.id}) {
    EXPECT_EQ(store().Claim(Claimant("w"))->at(0).id, id);
  }
  EXPECT_EQ(store().QueuePosition(*store().Get(young.id)).value(), 0);
}

TEST_P(JobStoreConformance, ProjectsTakeTurnsByWhatTheyHold) {
  Job draft = Draft();
  const auto add = [&](const std::string& project, int32_t priority) {
    draft.id = ids_.NextId();
    draft.project = project;
    draft.priority = priority;
    return Add(draft).id;
  };
  const JobId a1 = add("a", 50), a2 = add("a", 40), a3 = add("a", 30);
  const JobId b1 = add("b", 0), c1 = add("c", 10);
  // Of those that hold as many leases the first in rank; a project of many or urgent jobs does not
  // keep the others waiting.
  for (const JobId& id : {a1, c1, b1, a2, a3}) {
    EXPECT_EQ(store().Claim(Claimant("w"))->at(0).id, id);
  }
}

TEST_P(JobStoreConformance, AProjectHoldsNoMoreLeasesThanItsQuota) {
  for (int i = 0; i < 4; ++i) Add();
  ASSERT_OK(store().SetQuota("default", 2));
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().Claim(Claimant("w", 10)));
  ASSERT_THAT(claimed, SizeIs(2));
  EXPECT_THAT(*store().Claim(Claimant("w", 10)), IsEmpty());
  // A lease that ends makes room for one.
  ASSERT_OK(store().Update(claimed[0].id, [&](Job& job, absl::Time now, Effects& effects) {
    return Crash(job, "w", "", "", RetryPolicy{}, now, effects);
  }));
  EXPECT_THAT(*store().Claim(Claimant("w", 10)), SizeIs(1));
  ASSERT_OK(store().SetQuota("default", 1));  // below what it holds: they stay, no more come
  EXPECT_THAT(*store().Claim(Claimant("w", 10)), IsEmpty());
  ASSERT_OK(store().SetQuota("default", std::nullopt));
  EXPECT_THAT(*store().Claim(Claimant("w", 10)), SizeIs(2));
}

TEST_P(JobStoreConformance, AQuotaHoldsWhenManyClaimAtOnce) {
  for (int i = 0; i < 30; ++i) Add();
  ASSERT_OK(store().SetQuota("default", 7));
  std::atomic<size_t> claimed = 0;
  std::vector<std::thread> threads;
  std::vector<ClaimRequest> requests;
  for (int t = 0; t < 6; ++t) requests.push_back(Claimant("w" + std::to_string(t), 3));
  for (const ClaimRequest& request : requests) {
    threads.emplace_back([&] {
      for (int i = 0; i < 3; ++i) {
        absl::StatusOr<std::vector<Job>> jobs = store().Claim(request);
        ASSERT_OK(jobs);
        claimed += jobs->size();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(claimed, 7u);
}

TEST_P(JobStoreConformance, AJobIsForWorkersThatHaveWhatItNeeds) {
  Job draft = Draft();
  draft.requirements = {"cuda", 0};
  const JobId gpu = Add(draft).id;
  draft = Draft();
  draft.requirements = {"", 1000};
  const JobId large = Add(draft).id;
  ClaimRequest request = Claimant("w");
  request.capabilities.device = "cpu";
  request.capabilities.memory_bytes = 999;
  EXPECT_THAT(*store().Claim(request), IsEmpty());
  request.capabilities.memory_bytes = 1000;
  EXPECT_EQ(store().Claim(request)->at(0).id, large);
  EXPECT_THAT(*store().Claim(request), IsEmpty());
  request.capabilities.device = "cuda";
  EXPECT_EQ(store().Claim(request)->at(0).id, gpu);
  EXPECT_EQ(store().Get(gpu)->requirements.device, "cuda");
  EXPECT_EQ(store().Get(large)->needed_memory_bytes, 1000);
}

TEST_P(JobStoreConformance, AWorkerOfAProjectClaimsItsJobsAlone) {
  Add();
  ClaimRequest request = Claimant("w");
  request.project = "other";
  EXPECT_THAT(*store().Claim(request), IsEmpty());
  request.project = "default";
  EXPECT_THAT(*store().Claim(request), SizeIs(1));
}

TEST_P(JobStoreConformance, AnUrgentJobFindsTheLeastUrgentOneThatRunsInItsPlace) {
  const auto add = [&](int32_t priority, const std::string& queue = "default") {
    Job draft = Draft();
    draft.priority = priority;
    draft.queue = queue;
    return Add(draft).id;
  };
  const auto find = [&](absl::Duration waited = absl::ZeroDuration()) {
    absl::StatusOr<std::optional<Preemption>> found = store().FindPreemption(waited, 20);
    EXPECT_OK(found);
    return *found;
  };
  WorkerRecord worker{.name = "w", .incarnation = "life-1"};
  worker.capabilities.queues = {"default"};
  ASSERT_OK(store().SawWorker(worker));
  const JobId less = add(5), least = add(0);
  ASSERT_THAT(*store().Claim(Claimant("w", 2)), SizeIs(2));
  EXPECT_FALSE(find().has_value());
  add(50, "elsewhere");  // w does not serve it
  add(19);               // not urgent enough
  EXPECT_FALSE(find().has_value());
  const JobId urgent = add(30);
  EXPECT_FALSE(find(absl::Hours(1)).has_value());  // has not waited long enough
  ASSERT_TRUE(find().has_value());
  EXPECT_EQ(find()->urgent, urgent);
  EXPECT_EQ(find()->running, least);
  ASSERT_OK(store().Update(least, [&](Job& job, absl::Time now, Effects& effects) {
    return AskToRelease(job, urgent, now, effects);
  }));
  EXPECT_TRUE(store().Get(least)->lease->asked_to_release);
  EXPECT_FALSE(find().has_value());  // one at a time
  ASSERT_OK(store().Update(
      least, [](Job& job, absl::Time now, Effects& effects) { return Pause(job, now, effects); }));
  EXPECT_EQ(find()->running, less);
}

TEST_P(JobStoreConformance, ManyClaimantsNeverGetTheSameJob) {
  constexpr int kJobs = 60;
  for (int i = 0; i < kJobs; ++i) Add();
  std::mutex mutex;
  std::multiset<JobId> claimed;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      while (true) {
        ClaimRequest request{.capabilities = {},
                             .ttl = absl::Seconds(30),
                             .claimants = {{"w" + std::to_string(t), "i", "hash"}}};
        absl::StatusOr<std::vector<Job>> jobs = store().Claim(request);
        ASSERT_OK(jobs);
        if (jobs->empty()) return;
        std::lock_guard lock(mutex);
        claimed.insert(jobs->at(0).id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(claimed, SizeIs(kJobs));
  EXPECT_THAT(std::set<JobId>(claimed.begin(), claimed.end()), SizeIs(kJobs));
}

TEST_P(JobStoreConformance, LeasesOfAWorkerAreFoundByItsIncarnation) {
  const Job job = Add();
  ASSERT_OK(store().Claim(Claimant("w")));
  EXPECT_THAT(*store().LeasedBy("w", "life-1"), ElementsAre(job.id));
  EXPECT_THAT(*store().LeasedBy("w", ""), ElementsAre(job.id));
  EXPECT_THAT(*store().LeasedBy("w", "life-2"), IsEmpty());
  EXPECT_THAT(*store().LeasedBy("x", "life-1"), IsEmpty());
}

}  // namespace
}  // namespace crossover::scheduler
