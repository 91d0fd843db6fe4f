// The real scheduler for tests: Postgres of its own, a curation service that knows what it is told,
// a server on any free port. For integration tests of whoever speaks scheduler.v1.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "common/blob/directory_blob_store.h"
#include "common/log/fake_logger.h"
#include "common/rpc/server.h"
#include "common/testing/pg_fixture.h"
#include "common/testing/temp_dir.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "services/training_scheduler/module.h"

namespace crossover::scheduler {

// Answers GetDatasetVersion from a map; everything else is UNIMPLEMENTED.
class FakeCuration final : public ::crossover::curation::v1::DatasetService::CallbackService,
                           public rpc::Module {
 public:
  grpc::ServerUnaryReactor* GetDatasetVersion(
      grpc::CallbackServerContext* context,
      const ::crossover::curation::v1::GetDatasetVersionRequest* request,
      ::crossover::curation::v1::DatasetVersion* response) override;

  void Add(const std::string& name, const std::string& artifact_digest, int64_t train_rows,
           int64_t validation_rows);

  std::vector<grpc::Service*> Services() override { return {this}; }
  absl::Status Start() override { return absl::OkStatus(); }
  void Drain() override {}

 private:
  std::mutex mutex_;
  std::map<std::string, ::crossover::curation::v1::DatasetVersion> versions_;
};

// SQL that registers a base model which points at any digest.
std::string BaseModelSql(const std::string& slug, const std::string& digest,
                         const std::string& project = "default");

class SchedulerFixture {
 public:
  // Any failure aborts the process with a message.
  // Without an authenticator (borrowed) everyone is ADMIN; without a logger (borrowed) what is
  // logged is kept in memory.
  explicit SchedulerFixture(Options options = {}, rpc::Authenticator* authenticator = nullptr,
                            Logger* logger = nullptr);
  ~SchedulerFixture();

  std::string address() const;                     // 127.0.0.1:port
  std::shared_ptr<grpc::Channel> channel() const;  // stays valid over Restart
  FakeCuration& curation() { return *curation_; }
  BlobStore& blobs() { return *blobs_; }
  std::filesystem::path blob_root() const { return folder_ / "blobs"; }
  crossover::testing::PgDatabase& database() { return database_; }

  // A base model of the registry that points at any digest.
  void AddBase(const std::string& slug, const std::string& digest,
               const std::string& project = "default");

  // Stops the scheduler and starts it anew on the same port and database.
  void Restart();

 private:
  void StartModule();

  const Options options_;
  rpc::Authenticator* const authenticator_;
  crossover::testing::TempDir folder_;
  crossover::testing::PgDatabase database_;
  FakeLogger kept_log_;
  Logger& logger_;
  metrics::Registry registry_{"scheduler"};
  std::unique_ptr<BlobStore> blobs_;
  std::unique_ptr<FakeCuration> curation_;
  std::unique_ptr<rpc::Server> curation_server_;
  std::unique_ptr<pg::Pool> pool_;
  std::unique_ptr<Module> module_;
  std::unique_ptr<rpc::Server> server_;
  int port_ = 0;
};

}  // namespace crossover::scheduler
