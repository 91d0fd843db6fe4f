// What every JobStore promises to workers that have base models in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/prefer_bases.h"
#include "services/training_scheduler/storage/job_store_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// Jobs on bases X and Y, for workers that have one of them in memory.
class JobBasesConformance : public JobStoreConformance {
 protected:
  JobId AddOn(const std::string& base, absl::Duration waited = absl::ZeroDuration(),
              int32_t priority = 0, const std::string& project = "default") {
    Job draft = Draft();
    draft.project = project;
    draft.priority = priority;
    const auto queue = [&](Job& job, absl::Time now, Effects& effects) {
      RETURN_IF_ERROR(Queue(job, now, effects));
      job.inputs.base_digest = base;
      job.ready_time = now - waited;
      return absl::OkStatus();
    };
    EXPECT_OK(store().Insert(draft, {}, queue));
    return draft.id;
  }

  // Each worker is named by the base that it has.
  ClaimRequest Having(const std::vector<std::string>& bases) {
    ClaimRequest request = Claimant("", 0);
    for (const std::string& base : bases) {
      request.claimants.push_back(
          {.worker = base,
           .incarnation = "life-1",
           .token_hash = random_.Hex(16),
           .rendezvous = "",
           .bases = base.empty() ? std::vector<std::string>() : std::vector<std::string>{base}});
    }
    return request;
  }

  // Who got which job.
  std::map<JobId, std::string> Claim(const ClaimRequest& request) {
    std::map<JobId, std::string> holders;
    const absl::StatusOr<std::vector<Job>> claimed = store().Claim(request);
    EXPECT_OK(claimed);
    for (const Job& job : *claimed) {
      holders[job.id] = job.lease->worker;
      for (const scheduler::Claimant& claimant : request.claimants) {
        if (claimant.token_hash == job.lease->token_hash) {
          EXPECT_EQ(claimant.worker, job.lease->worker);
          EXPECT_EQ(claimant.worker, job.worker);
        }
      }
    }
    return holders;
  }
  using Holders = std::map<JobId, std::string>;
};

TEST_P(JobBasesConformance, AmongJobsOfEqualRankTheOneWhoseBaseTheWorkerHasGoesFirst) {
  const JobId y = AddOn("y", absl::Seconds(30)), x1 = AddOn("x"), x2 = AddOn("x");
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{x1, "x"}}));
  EXPECT_EQ(Claim(Having({""})), (Holders{{y, ""}}));  // who has none takes the first
  EXPECT_EQ(Claim(Having({"y"})), (Holders{{x2, "y"}}));
}

TEST_P(JobBasesConformance, AJobThatWaitedLongerOrIsMoreUrgentIsNotPassedOver) {
  const JobId urgent = AddOn("y", absl::ZeroDuration(), 1), old = AddOn("y", absl::Minutes(2));
  const JobId x = AddOn("x");
  for (const JobId& id : {urgent, old, x}) {
    EXPECT_EQ(Claim(Having({"x"})), (Holders{{id, "x"}}));
  }
}

TEST_P(JobBasesConformance, OnlyTheNextJobsAreLookedAt) {
  JobId first;
  for (size_t i = 0; i <= kJobsLookedAt; ++i) {
    const JobId id = AddOn("y");
    if (i == 0) first = id;
  }
  const JobId x = AddOn("x");
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{first, "x"}}));
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{x, "x"}}));
}

TEST_P(JobBasesConformance, TurnsOfProjectsQuotasAndWhatFitsComeBeforeBases) {
  const JobId a = AddOn("y", absl::Seconds(1), 0, "a"),
              b = AddOn("x", absl::ZeroDuration(), 0, "b");
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{a, "x"}}));
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{b, "x"}}));
  const JobId y = AddOn("y", absl::Seconds(1)), x = AddOn("x");
  ASSERT_OK(store().SetQuota("default", 1));
  EXPECT_EQ(Claim(Having({"x", "y"})), (Holders{{y, "y"}}));
  ASSERT_OK(store().SetQuota("default", std::nullopt));
  ClaimRequest request = Having({"x"});
  request.capabilities.queues = {"other"};
  EXPECT_THAT(Claim(request), IsEmpty());
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{x, "x"}}));
}

TEST_P(JobBasesConformance, WorkersThatClaimTogetherGetTheJobsOfTheirBases) {
  const JobId x = AddOn("x"), y = AddOn("y");
  EXPECT_EQ(Claim(Having({"y", "x"})), (Holders{{x, "x"}, {y, "y"}}));
  const JobId later = AddOn("x");
  EXPECT_EQ(Claim(Having({"", "y", "x"})), (Holders{{later, "x"}}));
}

TEST_P(JobBasesConformance, TheLastOfTheJobsTakenGivesWay) {
  const JobId y1 = AddOn("y", absl::Seconds(30)), y2 = AddOn("y", absl::Seconds(20));
  const JobId x = AddOn("x"), z = AddOn("z");
  EXPECT_EQ(Claim(Having({"x", ""})), (Holders{{y1, ""}, {x, "x"}}));
  EXPECT_EQ(Claim(Having({"x", "z"})), (Holders{{y2, "x"}, {z, "z"}}));
}

TEST_P(JobBasesConformance, ManyClaimantsWithBasesGetEachJobOnce) {
  for (int i = 0; i < 60; ++i) AddOn(std::string(1, static_cast<char>('x' + i % 3)));
  std::vector<ClaimRequest> requests;
  for (int i = 0; i < 60; ++i)
    requests.push_back(Having({std::string(1, static_cast<char>('x' + i / 20))}));
  absl::Mutex mutex;
  std::set<JobId> claimed;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = t; i < requests.size(); i += 6) {
        absl::StatusOr<std::vector<Job>> jobs = store().Claim(requests[i]);
        ASSERT_OK(jobs);
        absl::MutexLock lock(&mutex);
        for (const Job& job : *jobs) EXPECT_TRUE(claimed.insert(job.id).second);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // A claim that swaps holds two rows for a moment, so that one beside it may find none left.
  for (int i = 0; i < 60 && claimed.size() < 60; ++i) {
    absl::StatusOr<std::vector<Job>> jobs = store().Claim(requests[i]);
    ASSERT_OK(jobs);
    for (const Job& job : *jobs) EXPECT_TRUE(claimed.insert(job.id).second);
  }
  EXPECT_THAT(claimed, SizeIs(60));
}

INSTANTIATE_TEST_SUITE_P(Stores, JobBasesConformance, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace crossover::scheduler
