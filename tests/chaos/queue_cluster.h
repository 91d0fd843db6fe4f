// A queue to be shot at: Postgres, two schedulers, workers, and relays between workers and
// schedulers whose connections can be cut. Everything that is killed is started again at once.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/blob/directory_blob_store.h"
#include "common/log/fake_logger.h"
#include "common/rpc/server.h"
#include "common/testing/temp_dir.h"
#include "services/platform/postgres.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"
#include "tests/chaos/cut_proxy.h"

namespace crossover::chaos {

class QueueCluster : public ::testing::Test {
 protected:
  static constexpr int kSchedulers = 2;
  static constexpr int kWorkers = 3;

  enum class Fault { kWorker, kScheduler, kPostgres, kPostgresConnections, kWorkerConnections };

  void SetUp() override;
  void TearDown() override;

  // One fault of that kind, and what it killed is there again (the process, if not yet its
  // service).
  void Strike(Fault fault, std::mt19937& dice);

  // To whichever scheduler answers.
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }

 private:
  struct Process {
    pid_t pid = 0;
    int life = 0;
    std::vector<std::string> argv;
  };

  std::string Schedulers() const;  // as a gRPC target
  void StartScheduler(int number);
  void StartWorker(int number);
  static void Launch(Process& process, const std::string& log);
  static void Kill(Process& process);

  testing::TempDir folder_;
  FakeLogger logger_;
  metrics::Registry registry_{"chaos"};
  std::unique_ptr<platform::DataFolder> data_;
  std::unique_ptr<platform::Postgres> postgres_;
  std::unique_ptr<BlobStore> blobs_;
  scheduler::FakeCuration curation_;
  std::unique_ptr<rpc::Server> curation_server_;
  std::vector<int> ports_;
  std::vector<std::unique_ptr<CutProxy>> relays_;
  std::vector<Process> schedulers_{kSchedulers};
  std::vector<Process> workers_{kWorkers};
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace crossover::chaos
