// A scheduler that does what a test says and remembers what it was told.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "services/trainer_worker/domain/lease_client.h"

namespace crossover::worker {

// Thread-safe; the public fields are set before or between calls.
class FakeLeaseClient final : public LeaseClient {
 public:
  struct Recorded {
    int64_t step;
    std::string digest;
    std::string adapter_digest;
  };

  absl::StatusOr<std::optional<LeasedJob>> Lease(absl::Duration) override {
    if (jobs.empty()) {
      if (on_empty) on_empty();
      return std::optional<LeasedJob>();
    }
    LeasedJob job = jobs.front();
    jobs.pop_front();
    return std::optional(job);
  }
  void Interrupt() override { interrupted = true; }
  absl::Status Leave() override {
    left = true;
    return absl::OkStatus();
  }
  absl::StatusOr<BeatReply> Heartbeat(const LeasedJob& job, const Report& report) override {
    beats.push_back(report);
    if (!beat_error.ok()) return beat_error;
    return BeatReply{directive, job.ttl, report.seq};
  }
  absl::StatusOr<std::vector<std::string>> RecordCheckpoint(const LeasedJob&, int64_t step,
                                                            const std::string& digest,
                                                            const std::string& adapter_digest,
                                                            const Metric&) override {
    if (on_record) on_record(step);
    if (!record_error.ok()) return record_error;
    checkpoints.push_back({step, digest, adapter_digest});
    return released;
  }
  absl::Status Complete(const LeasedJob&, const Ending& ending, const Report& last) override {
    if (on_complete) on_complete();
    if (!complete_error.ok()) return complete_error;
    endings.push_back(ending);
    last_reports.push_back(last);
    return absl::OkStatus();
  }
  absl::Status Release(const LeasedJob&, ReleaseReason reason, int64_t,
                       const std::string& how) override {
    releases.push_back(reason);
    last_release = how;
    return absl::OkStatus();
  }

  std::deque<LeasedJob> jobs;
  std::function<void()> on_empty;
  std::function<void()> on_complete;
  std::function<void(int64_t step)> on_record;
  Directive directive = Directive::kContinue;
  absl::Status beat_error;
  absl::Status record_error;
  absl::Status complete_error;

  std::vector<std::string> released;  // what RecordCheckpoint answers

  bool interrupted = false;
  bool left = false;
  std::vector<Report> beats;
  std::vector<Recorded> checkpoints;
  std::vector<Ending> endings;
  std::vector<Report> last_reports;
  std::vector<ReleaseReason> releases;
  std::string last_release;  // how
};

}  // namespace crossover::worker
