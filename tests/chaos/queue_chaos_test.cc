// Hundreds of short jobs while workers, schedulers and Postgres are killed with -9 and connections
// are cut, at random: every job ends once, as if nothing had happened, and nothing that was said
// about it is lost or doubled.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "tests/chaos/job_history.h"
#include "tests/chaos/queue_cluster.h"

namespace crossover::chaos {
namespace {

namespace pb = scheduler::v1;

constexpr int kSteps = 3;

// A call in the midst of kills: it waits until somebody answers.
const rpc::CallOptions kUntilAnswered{
    .timeout = absl::Seconds(60), .idempotent = true, .max_attempts = 1000, .wait_for_ready = true};

class QueueChaosTest : public QueueCluster {
 protected:
  void Create() {
    pb::CreateJobRequest request;
    request.set_parent("projects/default");
    // So that it may be sent again.
    request.set_request_id(absl::StrFormat("00000000-0000-4000-8000-%012d", jobs_.size()));
    request.mutable_job()->set_kind(pb::Job::SFT);
    request.mutable_job()->set_base_model("base");
    request.mutable_job()->set_dataset_version("projects/default/datasets/d/versions/sha256:1");
    pb::TrainingSpec* spec = request.mutable_job()->mutable_spec()->mutable_training();
    spec->set_max_steps(kSteps);
    spec->set_checkpoint_every(1);
    // Bytes of its own: equal ones would be one model version.
    spec->set_suffix(absl::StrCat("j", jobs_.size()));
    const auto job = rpc::Invoke(*stub_, &pb::JobService::Stub::CreateJob, request, kUntilAnswered);
    ASSERT_OK(job);
    jobs_.push_back(job->name());
    histories_.emplace_back([this] { return channel(); }, job->name());
  }

  pb::Job Get(const std::string& name) {
    pb::GetJobRequest request;
    request.set_name(name);
    const auto job = rpc::Invoke(*stub_, &pb::JobService::Stub::GetJob, request, kUntilAnswered);
    EXPECT_OK(job);
    return job.value_or(pb::Job());
  }

  // Faults and jobs alternate so that there is work whenever something is killed.
  void Run(int jobs, int faults) {
    SCOPED_TRACE("CROSSOVER_CHAOS_SEED repeats the dice");
    const char* given = std::getenv("CROSSOVER_CHAOS_SEED");
    const unsigned seed = given == nullptr ? std::random_device()() : std::atoi(given);
    std::printf("chaos.seed %u\n", seed);
    std::mt19937 dice(seed);
    for (int fault = 0; fault < faults; ++fault) {
      while (static_cast<int>(jobs_.size()) < (fault + 1) * jobs / faults) {
        Create();
        if (HasFatalFailure()) return;
      }
      // What can be read before a kill must be there after it.
      histories_[jobs_.size() - 1 - dice() % std::min<size_t>(jobs_.size(), 8)].Note();
      SystemClock().SleepFor(absl::Milliseconds(dice() % 200));
      Strike(Draw(dice), dice);
      ++faults_;
    }
  }

  // Of ten faults five are workers', two schedulers', one Postgres', two connections'.
  static Fault Draw(std::mt19937& dice) {
    const unsigned die = dice() % 10;
    if (die < 5) return Fault::kWorker;
    if (die < 7) return Fault::kScheduler;
    if (die < 8) return Fault::kPostgres;
    return die < 9 ? Fault::kPostgresConnections : Fault::kWorkerConnections;
  }

  void ExpectAllEndedOnce() {
    const absl::Duration give_up = SystemClock().SteadyNow() + absl::Minutes(3);
    int lost = 0;
    for (size_t i = 0; i < jobs_.size(); ++i) {
      pb::Job job = Get(jobs_[i]);
      while (!job.has_finish_time() && SystemClock().SteadyNow() < give_up) {
        SystemClock().SleepFor(absl::Milliseconds(50));
        job = Get(jobs_[i]);
      }
      lost += job.state() == pb::Job::SUCCEEDED ? 0 : 1;
      EXPECT_EQ(job.state(), pb::Job::SUCCEEDED) << job.ShortDebugString();
      histories_[i].ExpectOneCleanLife(kSteps, 0);
    }
    EXPECT_EQ(std::set<std::string>(jobs_.begin(), jobs_.end()).size(), jobs_.size());
    std::printf("chaos.jobs %zu jobs\n", jobs_.size());
    std::printf("chaos.faults %d faults\n", faults_);
    std::printf("chaos.jobs_lost %d jobs\n", lost);
    std::printf("chaos.jobs_twice %ld jobs\n", TheTally().jobs_finished_twice);
    std::printf("chaos.events_lost %ld events\n",
                TheTally().events_lost + TheTally().events_doubled);
  }

  void ExpectWorkersSayWhatTheyUse() {
    const auto list = rpc::Invoke(*stub_, &pb::JobService::Stub::ListWorkers,
                                  pb::ListWorkersRequest(), kUntilAnswered);
    ASSERT_OK(list);
    EXPECT_GT(list->workers_size(), 0);
    for (const pb::Worker& worker : list->workers()) {
      ASSERT_EQ(worker.usage().devices_size(), 1) << worker.ShortDebugString();
      const pb::WorkerUsage::Device& device = worker.usage().devices(0);
      EXPECT_EQ(device.kind(), "cpu");
      EXPECT_GT(device.memory_bytes(), 0);
      EXPECT_LT(device.memory_bytes(), device.memory_limit_bytes());
    }
  }

  std::unique_ptr<pb::JobService::Stub> stub_;
  std::vector<std::string> jobs_;
  std::vector<JobHistory> histories_;
  int faults_ = 0;

  void SetUp() override {
    QueueCluster::SetUp();
    if (!HasFatalFailure()) stub_ = pb::JobService::NewStub(channel());
  }
};

TEST_F(QueueChaosTest, FiftyJobsUnderTwentyFaultsEndOnce) {
  Run(50, 20);
  ExpectAllEndedOnce();
  ExpectWorkersSayWhatTheyUse();
}

using QueueChaosLongTest = QueueChaosTest;
TEST_F(QueueChaosLongTest, FiveHundredJobsUnderTwoHundredFaultsEndOnce) {
  Run(500, 200);
  ExpectAllEndedOnce();
}

}  // namespace
}  // namespace crossover::chaos
