// Streams pipelines to whoever watches them: as they are, and then whenever they have changed. A
// pipeline has no history: what changes twice between two looks is told once. A resume token stands
// for the state it came with, which is not sent again; it is valid for seven days.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/pipeline_store.h"
#include "services/training_scheduler/domain/watcher_list.h"

namespace crossover::scheduler {

// The stream's end. Called by one thread at a time.
class PipelineSink {
 public:
  virtual ~PipelineSink() = default;
  // False: not now (the reader is slow); what has changed by then is offered again later.
  virtual bool Send(const Pipeline& pipeline, const std::string& resume_token) = 0;
  virtual bool Gone() = 0;
  virtual void End(absl::Status status) = 0;  // exactly once, unless Gone
};

// Thread-safe. Borrows store and clock.
class PipelineWatchHub {
 public:
  PipelineWatchHub(PipelineStore& store, Clock& clock) : store_(store), clock_(clock) {}

  // Checks the token, and adds the watcher; the next Pump serves it. NOT_FOUND without such a
  // pipeline; OUT_OF_RANGE RESUME_TOKEN_EXPIRED if the token is too old or none of ours.
  absl::Status Watch(const std::string& project, const std::string& pipeline,
                     const std::string& resume_token, std::shared_ptr<PipelineSink> sink);

  // Sends everybody what is new; a stream ends once its pipeline has. One call at a time. Returns
  // whether anybody watches.
  bool Pump() {
    return watchers_.Pump([this](Watcher& watcher) { return Serve(watcher); });
  }

  // Ends all streams with UNAVAILABLE SERVER_DRAINING: clients resume elsewhere with their token.
  void Close() { watchers_.Close(); }

 private:
  struct Watcher {
    std::string project;
    std::string pipeline;
    int64_t seen_us = 0;  // update time of the state sent last; 0 = none
    std::shared_ptr<PipelineSink> sink;
  };

  // False when the stream is over.
  bool Serve(Watcher& watcher);

  PipelineStore& store_;
  Clock& clock_;
  WatcherList<Watcher> watchers_;
};

}  // namespace crossover::scheduler
