// A trainer worker whose trainings take milliseconds: the worker's own code, but for the engine,
// which only counts. Without LibTorch it starts so fast that it can be killed every few hundred
// milliseconds.
//
// Usage: short_worker SCHEDULER NAME INCARNATION BLOB_FOLDER WORK_FOLDER. Ends by a signal.
#include <cstdio>
#include <memory>
#include <string>

#include "common/blob/directory_blob_store.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/rpc/channel.h"
#include "common/time/clock.h"
#include "services/trainer_worker/domain/fake_train_engine.h"
#include "services/trainer_worker/domain/worker.h"
#include "services/trainer_worker/transport/grpc_lease_client.h"

namespace crossover {
namespace {

int RunWorker(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: short_worker SCHEDULER NAME INCARNATION BLOBS WORK_FOLDER\n");
    return 2;
  }
  Clock& clock = SystemClock();
  const std::unique_ptr<Logger> logger =
      NewJsonLogger({.service = argv[2], .level = LogLevel::kError}, clock);
  const auto blobs = NewDirectoryBlobStore({.root = argv[4], .sync = false}, clock);
  if (!blobs.ok()) {
    std::fprintf(stderr, "%s\n", blobs.status().ToString().c_str());
    return 1;
  }
  metrics::Registry registry("worker");
  worker::WorkerMetrics metrics(registry);
  worker::StatusBoard board;
  worker::FakeTrainEngine engine;
  engine.script.before_step = [&](int64_t) { clock.SleepFor(absl::Milliseconds(3)); };
  worker::UsageSampler usage(clock, board, metrics, {.memory_limit_bytes = worker::MemoryLimit()});
  worker::GrpcLeaseClient client(
      rpc::NewChannel(argv[1], {.reconnect_max = absl::Milliseconds(200)}),
      {.name = argv[2], .incarnation = argv[3], .version = "chaos", .threads = 1}, "", clock,
      &usage);
  worker::Worker worker(
      {client, engine, **blobs, clock, *logger, metrics, board},
      {.lease_wait = absl::Seconds(5),
       .first_backoff = absl::Milliseconds(20),
       .max_backoff = absl::Milliseconds(200),
       .runner = {.work_folder = argv[5], .keeper = {.retry_interval = absl::Milliseconds(100)}}});
  worker.Run();
  return 0;
}

}  // namespace
}  // namespace crossover

int main(int argc, char** argv) { return crossover::RunWorker(argc, argv); }
