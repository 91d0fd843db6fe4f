// The trainer worker as a module. It trains on a thread of its own and speaks to the scheduler by
// RPC.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/blob/blob_store.h"
#include "common/id/random.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/rpc/auth.h"
#include "common/rpc/module.h"
#include "common/time/clock.h"

namespace crossover::worker {

struct Options {
  std::string scheduler = "127.0.0.1:7070";
  std::string name = "local";
  std::string incarnation;            // empty = drawn; a parent that will report a crash gives one
  std::string api_key;                // sent to the scheduler; may be empty
  std::filesystem::path work_folder;  // its subfolder `attempts` is emptied; one worker a folder
  int threads = 0;                    // 0 = one per core
  std::string engine = "llm";         // or fake, fake-validating
  std::string compute_type = "auto";  // or bf16 or fp32, whatever jobs say
  std::string base_weights = "auto";  // or dense, stored or nf4: how bases are kept in memory
  int max_gang = 1;                   // most workers it trains one job together with; 1 = alone
  std::string gang_address;           // host:port of this machine where the others meet it
};

// All borrowed.
struct Deps {
  BlobStore& blobs;
  Clock& clock;
  RandomSource& random;
  metrics::Registry& registry;
  Logger& logger;
  std::function<void()> on_drained = [] {};     // a Drain call has ended the worker's life
  rpc::Authenticator* authenticator = nullptr;  // nullptr: everyone is ADMIN
};

class Module final : public rpc::Module {
 public:
  // INVALID_ARGUMENT CONFIG_INVALID for an unknown engine, compute type or kind of weights, or an
  // address where nobody can meet it.
  static absl::StatusOr<std::unique_ptr<Module>> Create(Options options, Deps deps);
  ~Module() override;

  std::vector<grpc::Service*> Services() override;
  absl::Status Start() override;
  void Drain() override;
  absl::Status Ready() override;

 private:
  struct Impl;
  explicit Module(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::worker
