#include "services/trainer_worker/domain/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/blob/directory_blob_store.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "services/trainer_worker/domain/attempts_folder.h"
#include "services/trainer_worker/domain/fake_lease_client.h"
#include "services/trainer_worker/domain/fake_train_engine.h"

namespace crossover::worker {
namespace {

using ::testing::SizeIs;

TEST(WorkerTest, ItRunsJobAfterJobUntilItDrains) {
  crossover::testing::TempDir folder;
  FakeClock clock;
  FakeLogger logger;
  metrics::Registry registry("worker");
  WorkerMetrics metrics(registry);
  FakeLeaseClient client;
  FakeTrainEngine engine;
  StatusBoard board;
  std::unique_ptr<BlobStore> blobs =
      *NewDirectoryBlobStore({.root = folder / "blobs", .sync = false}, clock);
  crossover::testing::WriteFile(folder / "data/dataset.json", "{}");
  LeasedJob job;
  job.base_digest = *blobs->PutBytes("base");
  job.dataset_digest = *blobs->PutFolder("dataset", folder / "data");
  job.ttl = absl::Seconds(30);
  job.heartbeat_interval = absl::Seconds(10);
  job.granted_at = clock.SteadyNow();
  for (const char* name : {"projects/p/jobs/a", "projects/p/jobs/b"}) {
    job.name = name;
    client.jobs.push_back(job);
  }
  // A crashed life has left something behind.
  ASSERT_OK(EmptyAttemptsFolder(folder / "work"));
  crossover::testing::WriteFile(folder / "work/attempts/old-1/dataset/rows", "x");
  crossover::testing::WriteFile(folder / "work/mine", "x");

  WorkerOptions options;
  options.runner = {.work_folder = folder / "work", .keeper = {.own_thread = false}};
  Worker worker({client, engine, *blobs, clock, logger, metrics, board}, options);
  client.on_empty = [&] { worker.Drain(); };
  worker.Run();
  EXPECT_THAT(client.endings, SizeIs(2));
  EXPECT_TRUE(client.interrupted);
  EXPECT_TRUE(client.left);
  EXPECT_TRUE(worker.WaitUntilDrained(absl::ZeroDuration()));
  EXPECT_FALSE(std::filesystem::exists(folder / "work/attempts/old-1"));
  EXPECT_TRUE(std::filesystem::exists(folder / "work/mine"));
}

TEST(AttemptsFolderTest, AFolderThatNoWorkerMadeIsLeftAlone) {
  crossover::testing::TempDir folder;
  crossover::testing::WriteFile(folder / "attempts/thesis.tex", "x");
  EXPECT_THAT(EmptyAttemptsFolder(folder.path()), HasReasonThat("FOLDER_NOT_EMPTY"));
  EXPECT_TRUE(std::filesystem::exists(folder / "attempts/thesis.tex"));
}

}  // namespace
}  // namespace crossover::worker
