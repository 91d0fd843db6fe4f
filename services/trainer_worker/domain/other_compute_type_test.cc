// A job whose checkpoint was computed in a type that this worker does not compute in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "common/blob/directory_blob_store.h"
#include "common/log/fake_logger.h"
#include "common/status/error.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "services/trainer_worker/domain/fake_lease_client.h"
#include "services/trainer_worker/domain/fake_train_engine.h"
#include "services/trainer_worker/domain/job_runner.h"

namespace crossover::worker {
namespace {

TEST(OtherComputeTypeTest, TheAttemptFailsAndTheCheckpointStaysForAnotherWorker) {
  crossover::testing::TempDir folder;
  FakeClock clock;
  FakeLogger logger;
  metrics::Registry registry{"worker"};
  WorkerMetrics metrics{registry};
  FakeLeaseClient client;
  FakeTrainEngine engine;
  StatusBoard board;
  std::atomic<bool> draining = false;
  const auto blobs = *NewDirectoryBlobStore({.root = folder / "blobs", .sync = false}, clock);
  LeasedJob job;
  job.name = "projects/default/jobs/j1";
  job.base_digest = *blobs->PutBytes("base");
  crossover::testing::WriteFile(folder / "data/dataset.json", "{}");
  job.dataset_digest = *blobs->PutFolder("dataset", folder / "data");
  job.epoch = 1;
  job.ttl = absl::Seconds(30);
  job.heartbeat_interval = absl::Seconds(10);
  job.train.checkpoint_every = 4;
  RunnerOptions options;
  options.work_folder = folder / "work";
  options.keeper.own_thread = false;
  const auto run = [&] {
    job.granted_at = clock.SteadyNow();
    JobRunner runner({client, engine, *blobs, clock, logger, metrics, board}, options);
    return runner.Run(job, draining);
  };
  ASSERT_EQ(run(), Outcome::kCompleted);
  job.resume_checkpoint = client.checkpoints.back().digest;
  job.resume_step = client.checkpoints.back().step;
  job.epoch += 1;
  engine.script.of_checkpoints =
      Error(absl::StatusCode::kUnavailable, "WORKERS_DIFFER", "was computed in bf16");
  engine.steps_run = 0;
  EXPECT_EQ(run(), Outcome::kFailed);
  EXPECT_EQ(engine.steps_run, 0) << "what was trained is not thrown away";
  ASSERT_TRUE(client.endings.back().failure.has_value());
  EXPECT_EQ(client.endings.back().failure->reason, "WORKERS_DIFFER");
  EXPECT_EQ(client.endings.back().failure->error_class, ErrorClass::kInfrastructure);
}

}  // namespace
}  // namespace crossover::worker
