// Keeps one lease alive and carries what the job has to say, on a thread of its own, whatever the
// training thread does.
//
// Trust: the lease is believed until `steady time before the call that renewed it + ttl - margin`,
// which is earlier than the database's own expiry. After that, or when the scheduler says
// LEASE_LOST, lost() is true for ever.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "services/trainer_worker/domain/lease_client.h"
#include "services/trainer_worker/domain/work.h"

namespace crossover::worker {

struct KeeperOptions {
  absl::Duration margin = absl::Seconds(3);         // of trust; at most a fifth of the ttl
  absl::Duration news_interval = absl::Seconds(1);  // between beats when there is something to say
  absl::Duration retry_interval = absl::Seconds(1);
  bool own_thread = true;  // false (tests): beats happen inside Tell and Poll when they are due
};

// Thread-safe. Borrows client and clock.
class LeaseKeeper {
 public:
  LeaseKeeper(LeaseClient& client, Clock& clock, LeasedJob job, KeeperOptions options);
  ~LeaseKeeper();  // Stop()
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

  // What the next beat carries.
  void TellProgress(const Progress& progress, std::optional<Metric> metric, int64_t peak_memory);
  // What is more than information is a line of the log, too.
  void TellEvent(Level level, std::string message, EventType type = EventType::kMessage,
                 std::string data = "");
  void TellLog(std::string line);
  void TellPhase(const std::string& phase);

  // The last directive heard. kCheckpoint is returned once per time it was sent.
  Directive TakeDirective();
  bool lost();

  // One beat now, if one is due. For tests and for keepers without a thread.
  void Poll();

  // Beats now until everything said so far is stored. UNAVAILABLE if nobody answers, LEASE_LOST.
  absl::Status Flush();

  // No beats from now on. Returns what no beat has carried, as the last report.
  Report Stop();

  const LeasedJob& job() const { return job_; }

 private:
  void Run();
  bool Due() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration NextBeat() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Beat() ABSL_LOCKS_EXCLUDED(mutex_);
  // Numbers the outbox and makes it the report in flight.
  void Seal() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Heard(const absl::StatusOr<BeatReply>& reply, absl::Duration before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool LostNow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  LeaseClient& client_;
  Clock& clock_;
  const LeasedJob job_;
  const KeeperOptions options_;
  const absl::Duration margin_;

  absl::Mutex beat_mutex_;  // one beat at a time
  absl::Mutex mutex_;
  absl::Duration trusted_until_ ABSL_GUARDED_BY(mutex_);
  absl::Duration last_beat_ ABSL_GUARDED_BY(mutex_);
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;  // the last beat had no answer
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool news_ ABSL_GUARDED_BY(mutex_) = false;
  Directive directive_ ABSL_GUARDED_BY(mutex_) = Directive::kContinue;
  int64_t next_seq_ ABSL_GUARDED_BY(mutex_);
  Report outbox_ ABSL_GUARDED_BY(mutex_);  // not numbered yet
  std::optional<Report> in_flight_
      ABSL_GUARDED_BY(mutex_);  // sent or about to be, not accepted yet
  std::thread thread_;
};

}  // namespace crossover::worker
