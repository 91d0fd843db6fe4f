// Feeds WatchRun streams from the store. One thread for all streams; a parked stream costs none.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "common/rpc/stream.h"
#include "crossover/evaluation/v1/evaluation_service.pb.h"
#include "services/evaluation/domain/store.h"

namespace crossover::evaluation {

// Thread-safe. Borrows the store.
class RunWatcher {
 public:
  using RunStream = rpc::Stream<v1::WatchRunResponse>;

  explicit RunWatcher(Store& store, absl::Duration interval = absl::Milliseconds(200));
  ~RunWatcher();  // Stop()

  // Begins with a snapshot, then events after `after` and a snapshot whenever the run changes; ends
  // when the run has ended.
  void Watch(std::string run, int64_t after, RunStream stream);
  // Ends all streams with UNAVAILABLE SERVER_DRAINING and joins. Idempotent.
  void Stop();

 private:
  struct Watched {
    std::string run;
    int64_t after;
    int64_t version;
    RunStream stream;
  };

  void Loop();
  // False when the stream is over.
  bool Feed(Watched& watched);

  Store& store_;
  const absl::Duration interval_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::vector<Watched> watched_;
  std::thread thread_;
};

}  // namespace crossover::evaluation
