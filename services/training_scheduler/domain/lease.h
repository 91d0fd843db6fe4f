// A worker's right to run one job until a moment in time, and what passes between scheduler and
// worker under it.
//
// Fencing: `epoch` rises with every lease of a job, and a lease's secret (128 random bits in
// hexadecimal) is known to its holder only, so a write by an earlier holder is refused. The store
// keeps DigestOf(secret).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

struct LeaseToken {
  JobId job;
  int64_t epoch = 0;
  std::string secret;
};

// ABORTED LEASE_LOST: stop, publish nothing.
absl::Status LeaseLost(std::string_view why);

enum class Directive { kContinue, kCheckpoint, kPause, kCancel, kRelease };

enum class ReleaseReason {
  kDrain,      // the worker is going away in good order
  kPreempted,  // somebody more important needs the place
  kPaused,
  kCancelled,
  // Sent by a parent that reaped its child, or by one of a gang that failed before it met the
  // others; counts as a lost lease.
  kCrashed,
};

std::string_view Name(ReleaseReason reason);

// One heartbeat's content. One counter per epoch numbers all a worker says: every event takes the
// next number, and the beat the one after its events. What carries a number that was accepted
// before is a repeat and changes nothing but the expiry.
struct Heartbeat {
  int64_t worker_seq = 0;
  Progress progress;
  std::vector<JobEvent> events;  // level, type, message, data and worker_seq are used
  std::vector<MetricPoint> metrics;
  std::vector<std::string> log_lines;
  int64_t peak_memory_bytes = 0;
  std::optional<WorkerUsage> usage;  // as the call was made: a repeat may say something else
};

struct HeartbeatReply {
  Directive directive = Directive::kContinue;
  absl::Duration ttl;
  int64_t accepted_seq = 0;
};

// How an attempt ended. Exactly one of success and error.
struct Outcome {
  std::optional<JobError> error;  // absent = success
  Outputs outputs;
  Consumption actual;                    // since the lease began
  std::optional<Heartbeat> last_report;  // what no beat has carried yet
};

struct Capabilities {
  std::vector<JobKind> kinds;       // empty = all
  std::vector<std::string> queues;  // empty = all
  std::string device;               // cpu or cuda; empty = not known: every job fits
  int64_t memory_bytes = 0;         // of the device; 0 = not known
  int32_t threads = 0;
  std::vector<std::string> base_digests;  // of the base models that the worker has in memory
  int32_t gang = 0;                       // most workers it trains together with; 0, 1 = alone
  // What it computes in: the first unless a job asks for another (compute_types.h); empty = not
  // known.
  std::vector<ComputeType> compute_types;
};

}  // namespace crossover::scheduler
