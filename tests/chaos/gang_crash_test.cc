// Two workers that share a job, of which one is killed with -9: the real scheduler on a real
// Postgres, the real worker programs, and Gloo between them (their engine counts instead of
// training). The job goes on from its last checkpoint with a new gang and finishes once.
#include <array>
#include <map>

#include "common/testing/free_port.h"
#include "tests/chaos/crash_fixture.h"

namespace crossover::chaos {
namespace {

constexpr int kSteps = 60;

class GangCrashTest : public CrashTest {
 protected:
  GangCrashTest() {
    for (const char* name : {"a", "b"}) StartWorker(name);
  }
  ~GangCrashTest() override {
    for (auto& [name, pid] : workers_) Kill(pid);
  }

  void StartWorker(const std::string& name) {
    workers_[name] = LaunchWorker(
        name, "fake",
        {"--max-gang=2", absl::StrCat("--gang-address=127.0.0.1:", testing::FreePort())});
    ASSERT_NE(workers_[name], 0);
  }

  pb::Job CreateShared() {
    pb::CreateJobRequest request = Training(kSteps);
    request.mutable_job()->mutable_requirements()->set_gang_size(2);
    return Create(request);
  }

  // Until the gang has recorded a checkpoint at `step` or later. The name of rank 0, then of 1.
  std::array<std::string, 2> RanksAt(const std::string& job, int64_t step) {
    EXPECT_TRUE(WaitFor(job, [&](const pb::Job& now) {
      return now.state() == pb::Job::RUNNING && Checkpoint(now) >= step;
    })) << Get(job).ShortDebugString();
    history_->Note();
    const std::string leader = Get(job).worker();
    const bool a_leads = leader.ends_with("a");
    return {a_leads ? "a" : "b", a_leads ? "b" : "a"};
  }

  std::map<std::string, pid_t> workers_;
};

TEST_F(GangCrashTest, WhoeverOfTwoIsKilledTheJobFinishesOnce) {
  const std::string job = CreateShared().name();
  const std::string follower = RanksAt(job, 10)[1];
  Kill(workers_.at(follower));
  ++TheTally().worker_kills;
  // Rank 0 misses it at the next sum, long before its lease ends.
  EXPECT_TRUE(WaitFor(
      job, [](const pb::Job& now) { return now.state() != pb::Job::RUNNING; }, absl::Seconds(5)));
  EXPECT_EQ(Get(job).failure_count() + Get(job).lease_loss_count(), 1);
  StartWorker(follower);

  const std::string leader = RanksAt(job, 30)[0];
  Kill(workers_.at(leader));
  ++TheTally().worker_kills;
  EXPECT_TRUE(WaitFor(job, [](const pb::Job& now) { return now.state() != pb::Job::RUNNING; }));
  StartWorker(leader);
  ExpectOneCleanLife(job, kSteps, 2);
}

TEST_F(GangCrashTest, OneThatHangsIsMissedWhenItsLeaseEnds) {
  const std::string job = CreateShared().name();
  const auto [leader, follower] = RanksAt(job, 6);
  kill(workers_.at(follower), SIGSTOP);
  EXPECT_TRUE(WaitFor(job, [](const pb::Job& now) { return now.state() != pb::Job::RUNNING; }));
  EXPECT_EQ(Get(job).lease_loss_count(), 1);
  StartWorker("c");  // the two that are left share it
  EXPECT_TRUE(WaitFor(job, [](const pb::Job& now) {
    return now.state() == pb::Job::RUNNING && now.lease_epoch() == 2;
  })) << Get(job).ShortDebugString();
  ExpectOneCleanLife(job, kSteps, 1);
  // What it waited for is still there, and does not keep it.
  EXPECT_EQ(Terminate(workers_.at(leader)), 0);
  kill(workers_.at(follower), SIGCONT);
  EXPECT_EQ(Terminate(workers_.at(follower)), 0);
}

TEST_F(GangCrashTest, ADrainOfOneCostsNothingAndACancelEndsBoth) {
  const std::string job = CreateShared().name();
  const auto [leader, follower] = RanksAt(job, 4);
  EXPECT_EQ(Terminate(workers_.at(follower)), 0);
  const pb::Job drained = Get(job);
  EXPECT_EQ(drained.state(), pb::Job::QUEUED);
  EXPECT_EQ(drained.lease_loss_count() + drained.failure_count(), 0);
  StartWorker(follower);
  RanksAt(job, Checkpoint(drained) + 2);
  pb::CancelJobRequest cancel;
  cancel.set_name(job);
  ASSERT_OK(rpc::Invoke(*jobs_, &pb::JobService::Stub::CancelJob, cancel));
  EXPECT_TRUE(WaitFor(
      job, [](const pb::Job& now) { return now.state() == pb::Job::CANCELLED; }, absl::Seconds(5)))
      << Get(job).ShortDebugString();
}

}  // namespace
}  // namespace crossover::chaos
