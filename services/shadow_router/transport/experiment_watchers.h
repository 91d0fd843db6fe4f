// Feeds WatchExperiment streams from the stored transitions. One thread for all streams; a parked
// stream costs none.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/stream.h"
#include "crossover/router/v1/experiment_service.pb.h"
#include "services/shadow_router/domain/control.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router {

// Thread-safe. Borrows store and control.
class ExperimentWatchers {
 public:
  using WatchStream = rpc::Stream<v1::WatchExperimentResponse>;

  // `interval`: how often the store is asked for what another router has moved; our own moves show
  // at once.
  ExperimentWatchers(RouterStore& store, ExperimentControl& control,
                     absl::Duration interval = absl::Seconds(1));
  ~ExperimentWatchers();  // Close()

  static constexpr int64_t kFromNow = -1;

  // The transitions after the one with the number `after` as events, each before the snapshot that
  // shows it; a snapshot at the beginning and with every new report. Ends with the experiment,
  // after its last transition. A slow reader misses snapshots, never transitions.
  void Watch(std::string experiment, int64_t after, WatchStream stream);
  // A report has been made. Never blocks on I/O.
  void Notify(const Report& report);
  // Ends every stream with UNAVAILABLE `SERVER_DRAINING` and joins. Idempotent.
  void Close();

 private:
  struct Watched {
    std::string experiment;
    int64_t after = 0;     // Sequence of the last transition that was sent.
    std::string etag;      // Of the experiment as it was last sent; empty: never.
    int64_t reported = 0;  // Number of the report that was last sent.
    WatchStream stream;
  };

  void Loop();
  // False when the stream is over.
  bool Feed(Watched& watched);
  // False if the reader is too slow or gone.
  bool SendTransitions(Watched& watched, const std::vector<Transition>& transitions);
  // The newest report that was noted for it, by number; nullopt if there is none.
  std::optional<std::pair<int64_t, Report>> Noted(const std::string& experiment);

  RouterStore& store_;
  ExperimentControl& control_;
  const absl::Duration interval_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool news_ = false;
  int64_t reports_ = 0;
  std::map<std::string, std::pair<int64_t, Report>> noted_;  // Of experiments that are watched.
  std::map<std::string, int> watchers_;                      // How many streams each has.
  std::vector<Watched> added_;
  std::thread thread_;
};

}  // namespace crossover::router
