#include "services/training_scheduler/domain/job_times.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace crossover::scheduler {
namespace {

std::vector<std::string> BlamedTimes(const Job& job) {
  std::vector<std::string> fields;
  for (const FieldViolation& violation : CheckTimes(job)) fields.push_back(violation.field);
  return fields;
}

TEST(JobTimesTest, TimesAreOfTheYears1To9999) {
  const absl::Time first = absl::FromUnixSeconds(-62'135'596'800);
  const absl::Time last = absl::FromUnixSeconds(253'402'300'799) + absl::Microseconds(999'999);
  Job job;
  EXPECT_THAT(BlamedTimes(job), ::testing::IsEmpty());
  job.start_time = first;
  job.deadline = last;
  EXPECT_THAT(BlamedTimes(job), ::testing::IsEmpty());
  for (const absl::Time time :
       {absl::InfiniteFuture(), absl::InfinitePast(), absl::FromUnixSeconds(9'223'400'000'000),
        last + absl::Microseconds(1), first - absl::Microseconds(1)}) {
    job.start_time = std::nullopt;
    job.deadline = time;
    EXPECT_THAT(BlamedTimes(job), ::testing::ElementsAre("deadline")) << time;
    job.start_time = time;
    EXPECT_THAT(BlamedTimes(job), ::testing::ElementsAre("start_time", "deadline")) << time;
  }
}

TEST(JobTimesTest, AJobThatHasNotRunStartsBeforeItsDeadline) {
  Job job;
  job.start_time = absl::FromUnixSeconds(2'000'000'001);
  job.deadline = absl::FromUnixSeconds(2'000'000'000);
  EXPECT_THAT(BlamedTimes(job), ::testing::ElementsAre("deadline"));
  job.run_time = absl::FromUnixSeconds(1);  // start_time ends a pause
  EXPECT_THAT(BlamedTimes(job), ::testing::IsEmpty());
  job.run_time.reset();
  job.deadline = job.start_time;
  EXPECT_THAT(BlamedTimes(job), ::testing::IsEmpty());
}

}  // namespace
}  // namespace crossover::scheduler
