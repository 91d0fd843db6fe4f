// What a job's log says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "common/blob/directory_blob_store.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "services/trainer_worker/domain/fake_lease_client.h"
#include "services/trainer_worker/domain/fake_train_engine.h"
#include "services/trainer_worker/domain/job_runner.h"

namespace crossover::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::StartsWith;

class JobLogTest : public ::testing::Test {
 protected:
  JobLogTest() {
    blobs_ = *NewDirectoryBlobStore({.root = folder_ / "blobs", .sync = false}, clock_);
    job_.name = "projects/default/jobs/j1";
    job_.base_digest = *blobs_->PutBytes("base");
    crossover::testing::WriteFile(folder_ / "data/dataset.json", "{}");
    job_.dataset_digest = *blobs_->PutFolder("dataset", folder_ / "data");
    job_.epoch = 1;
    job_.ttl = absl::Seconds(30);
    job_.heartbeat_interval = absl::Seconds(10);
    job_.train.checkpoint_every = 4;
    job_.train.eval_every = 5;
    engine_.script.steps = 6;
    options_.work_folder = folder_ / "work";
    options_.keeper.own_thread = false;
  }

  // The lines of one life.
  std::vector<std::string> Run() {
    job_.granted_at = clock_.SteadyNow();
    client_.beats.clear();
    client_.last_reports.clear();
    JobRunner runner({client_, engine_, *blobs_, clock_, logger_, metrics_, board_}, options_);
    EXPECT_EQ(runner.Run(job_, draining_), Outcome::kCompleted);
    std::vector<std::string> lines;
    for (const std::vector<Report>* reports : {&client_.beats, &client_.last_reports}) {
      for (const Report& report : *reports) {
        lines.insert(lines.end(), report.log_lines.begin(), report.log_lines.end());
      }
    }
    return lines;
  }

  crossover::testing::TempDir folder_;
  FakeClock clock_;
  FakeLogger logger_;
  metrics::Registry registry_{"worker"};
  WorkerMetrics metrics_{registry_};
  std::unique_ptr<BlobStore> blobs_;
  FakeLeaseClient client_;
  FakeTrainEngine engine_;
  LeasedJob job_;
  RunnerOptions options_;
  std::atomic<bool> draining_ = false;
  StatusBoard board_;
};

TEST_F(JobLogTest, ItSaysWhatWasLoadedValidatedAndWritten) {
  engine_.script.valid_loss = [](int64_t step) { return 1.0 / static_cast<double>(step); };
  engine_.script.train_loss = [](int64_t) { return 0.5; };
  EXPECT_THAT(
      Run(), ElementsAre("loading base " + job_.base_digest,
                         "ready in 0.0 s: 5 rows, 1000 tokens in all epochs, 2 rows to validate on",
                         "checkpoint of step 4 written in 0.0 s",
                         "step 5: validation loss 0.2000, training loss 0.5000",
                         "step 6: validation loss 0.1667, training loss 0.5000"));
}

TEST_F(JobLogTest, ItSaysWhereAnAttemptWentOnAndWhatItCouldNotRead) {
  Run();
  job_.resume_checkpoint = client_.checkpoints.back().digest;
  job_.resume_step = client_.checkpoints.back().step;
  job_.epoch += 1;
  EXPECT_THAT(Run(), ElementsAre("base is in memory: " + job_.base_digest, StartsWith("ready in"),
                                 "resumed from the checkpoint of step 4"));
  engine_.script.refuses_checkpoints = true;
  const std::vector<std::string> anew = Run();
  EXPECT_THAT(anew, ::testing::Contains(
                        StartsWith("warning: checkpoint of step 4 cannot be resumed, starting")));
  EXPECT_THAT(anew, ::testing::Each(Not(StartsWith("resumed from"))));
}

}  // namespace
}  // namespace crossover::worker
