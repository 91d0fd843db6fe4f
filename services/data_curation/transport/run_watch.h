// Streams that follow a run: one thread polls the store for all of them, so that a parked stream
// costs none.
#pragma once

#include <condition_variable>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "common/rpc/stream.h"
#include "common/time/clock.h"
#include "crossover/curation/v1/curation_service.pb.h"
#include "services/data_curation/domain/curation_store.h"

namespace crossover::curation {

// How long a resume_token may be used.
inline constexpr absl::Duration kTokenLife = absl::Hours(7 * 24);

// Thread-safe. Borrows store and clock.
class RunWatch {
 public:
  using Stream = rpc::Stream<v1::WatchCurationRunResponse>;

  RunWatch(CurationStore& store, Clock& clock) : store_(store), clock_(clock) {}
  ~RunWatch();  // Stop()

  void Start();
  // Ends all streams with Unavailable SERVER_DRAINING and joins.
  void Stop();

  // Follows the run after the event `resume_token` names; without one, beginning with a snapshot.
  // Ends the stream when the run is over and everything was sent. InvalidArgument
  // PAGE_TOKEN_INVALID, OutOfRange RESUME_TOKEN_EXPIRED, NotFound.
  absl::Status Add(const std::string& project, const std::string& run,
                   const std::string& resume_token, Stream stream);

 private:
  struct Watcher {
    std::string project;
    std::string run;
    int64_t sequence = 0;  // of the last event sent
    bool wants_snapshot = false;
    Stream stream;
  };

  void Loop();
  // These say false when the watcher is done with.
  bool Advance(Watcher& watcher);
  absl::StatusOr<bool> Send(Watcher& watcher);
  absl::StatusOr<bool> SendSnapshot(Watcher& watcher);
  absl::Status SendEvent(Watcher& watcher, const RunEvent& event);
  std::string TokenOf(const Watcher& watcher);

  CurationStore& store_;
  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;
  bool stopping_ = false;
  std::list<Watcher> watchers_;
  std::thread thread_;
};

}  // namespace crossover::curation
