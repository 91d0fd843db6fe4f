// A c10d backend as a Collective. Sees torch; private to the rooms that make one.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "llm/train/collective.h"

namespace crossover::llm {

// Where all of a rendezvous have arrived.
struct Meeting {
  c10::intrusive_ptr<c10d::Store> server;  // Rank 0's; the place is free again when it goes.
  c10::intrusive_ptr<c10d::Store> store;   // Of this purpose alone.
};

// Rank 0 serves it. Errors as those of JoinGloo.
absl::StatusOr<Meeting> MeetOthers(const Rendezvous& rendezvous);

// Does `work`, which blocks, on a thread of its own, while this one asks `stop`. Cancelled if that
// says so first: then nobody waits for it, so it owns what it uses. What it throws is thrown here.
absl::Status UnlessStopped(const Rendezvous& rendezvous, std::function<void()> work);

class C10dCollective final : public Collective {
 public:
  // Sums on `device`: values are copied there and back unless it is the CPU.
  C10dCollective(const Rendezvous& rendezvous, Meeting meeting,
                 c10::intrusive_ptr<c10d::Backend> backend, at::Device device);

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  absl::Status Sum(std::span<float> values) override;
  absl::Status Sum(std::span<double> values) override;

 private:
  absl::Status SumTensor(at::Tensor values);
  // How long the next sum is waited for.
  absl::Duration Patience() const;
  // False: `stop` said so first.
  bool Await(c10d::Work& work) const;
  // Nothing ends a sum that has begun before its time: it keeps what it needs, and nobody waits.
  void Abandon(c10::intrusive_ptr<c10d::Work> work, at::Tensor values);

  const int rank_;
  const int size_;
  const absl::Duration timeout_;
  const absl::Duration first_timeout_;
  const std::function<bool()> stop_;
  const at::Device device_;
  Meeting meeting_;  // Outlives the backend.
  c10::intrusive_ptr<c10d::Backend> backend_;
  std::optional<absl::Duration> last_sum_;  // Steady time of its end.
};

// What an exception of c10d means.
absl::Status PeerLost(const Rendezvous& rendezvous, const std::exception& e);

}  // namespace crossover::llm
