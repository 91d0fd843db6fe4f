// Several processes that train one adapter together, each on its share of every window of rows.
// No torch.
//
// All of them hold the same rows and configuration and do the same optimizer step on the same
// gradient: the sum over all processes, one flat all-reduce a step. The loss is divided by the
// weight of the whole window, so that the result is that of one process up to rounding.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crossover::llm {

// Where a process stands and where the others find each other. Whoever starts the processes makes
// one for each: a parent on one machine, or a gang of leases over several.
struct Rendezvous {
  int rank = 0;
  int size = 1;
  // Host and port where rank 0 keeps the list of addresses (c10d's TCPStore). Port 0 is refused.
  std::string host = "127.0.0.1";
  int port = 0;
  // This process's address for the others: a host name or IP address of this machine.
  std::string own_host = "127.0.0.1";
  // What they meet for. Who comes to the same place for something else is not counted.
  std::string purpose;
  // For everyone to arrive, and for each sum: whoever waits longer gives the others up. A sum is
  // waited for ten times as long as this process has computed since the one before, if that is
  // more: others may be slower.
  absl::Duration timeout = absl::Minutes(10);
  absl::Duration sum_timeout = absl::Minutes(10);
  // For the first sum, before which others may still be loading; if that is more.
  absl::Duration first_sum_timeout = absl::ZeroDuration();
  // Asked once a second or more often, by the thread that waits, while others are waited for: true
  // ends the wait, and the place is free for another meeting. May be empty; it lives as long as the
  // Collective.
  std::function<bool()> stop;
};

// Used by one thread. All processes make the same calls in the same order.
class Collective {
 public:
  virtual ~Collective() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Replaces `values` (equally many everywhere) by their sum over all processes, the same bits
  // everywhere. Unavailable("PEER_LOST") if one of them is gone or too late, Cancelled if `stop`
  // says so; then this object is of no further use and training goes on from a checkpoint with a
  // new one.
  virtual absl::Status Sum(std::span<float> values) = 0;
  virtual absl::Status Sum(std::span<double> values) = 0;
};

// Joins the others over TCP (Gloo) and returns when all are there. InvalidArgument
// ("BAD_RENDEZVOUS") for numbers that make no sense, Unavailable("PEER_LOST") if someone does not
// come in time, Cancelled if `stop` says so.
absl::StatusOr<std::unique_ptr<Collective>> JoinGloo(const Rendezvous& rendezvous);

// The same over NCCL, between CUDA devices, by a plugin that is built only where NCCL's headers are
// (llm/train/nccl). FailedPrecondition("NCCL_UNAVAILABLE") names the file that cannot be loaded and
// why.
absl::StatusOr<std::unique_ptr<Collective>> JoinNccl(const Rendezvous& rendezvous,
                                                     const std::string& plugin);

// InvalidArgument("BAD_RENDEZVOUS") says which number is wrong.
absl::Status CheckRendezvous(const Rendezvous& rendezvous);

}  // namespace crossover::llm
