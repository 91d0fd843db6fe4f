// What every JobStore promises of the times that a job is asked to keep: no job's can stop the
// others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "services/training_scheduler/storage/job_store_fixture.h"

namespace crossover::scheduler {
namespace {

class JobTimesConformance : public JobStoreConformance {};

TEST_P(JobTimesConformance, ATimeThatIsNoDateIsRefusedAndClaimsGoOn) {
  const Job job = Add();
  for (const absl::Time time :
       {absl::InfiniteFuture(), absl::FromUnixSeconds(9'223'400'000'000), absl::InfinitePast()}) {
    const auto set = [&](std::optional<absl::Time> Job::* field) {
      return store().Update(job.id, [&](Job& mine, absl::Time, Effects&) {
        mine.*field = time;
        return absl::OkStatus();
      });
    };
    const absl::Status deadline = set(&Job::deadline).status();
    EXPECT_THAT(deadline, StatusIs(absl::StatusCode::kFailedPrecondition)) << time;
    EXPECT_EQ(DetailOf(deadline).metadata["constraint"], "deadline_is_a_date") << time;
    EXPECT_FALSE(set(&Job::start_time).ok()) << time;
  }
  Job draft = Draft();
  draft.deadline = absl::InfiniteFuture();
  EXPECT_THAT(store().Insert(draft, {}, &Queue), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(store().Get(job.id));
  EXPECT_EQ(store().Claim(Claimant("w"))->at(0).id, job.id);
}

TEST_P(JobTimesConformance, TheFirstAndTheLastDateAreKept) {
  Job draft = Draft();
  draft.start_time = absl::FromUnixSeconds(-62'135'596'800);
  draft.deadline = absl::FromUnixSeconds(253'402'300'799);
  const Job job = Add(draft);
  EXPECT_EQ(store().Get(job.id)->start_time, draft.start_time);
  EXPECT_EQ(store().Get(job.id)->deadline, draft.deadline);
  EXPECT_EQ(store().Claim(Claimant("w"))->at(0).deadline, draft.deadline);
}

INSTANTIATE_TEST_SUITE_P(Stores, JobTimesConformance, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace crossover::scheduler
