// A c10d backend as a Collective. Sees torch; private to the rooms that make one.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <functional>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "llm/train/collective.h"

namespace crossover::llm {

// Where all of a rendezvous have arrived.
struct Meeting {
  c10::intrusive_ptr<c10d::Store> server;  // Rank 0's; the place is free again when it goes.
  c10::intrusive_ptr<c10d::Store> store;   // Of this purpose alone.
};

// Rank 0 serves it. Errors as those of JoinGloo.
absl::StatusOr<Meeting> MeetOthers(const Rendezvous& rendezvous);

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
  // False: `stop` said so first.
  bool Await(c10d::Work& work) const;
  // Nothing ends a sum that has begun before its time: it keeps what it needs, and nobody waits.
  void Abandon(c10::intrusive_ptr<c10d::Work> work, at::Tensor values);

  const int rank_;
  const int size_;
  const std::chrono::milliseconds timeout_;
  const std::function<bool()> stop_;
  const at::Device device_;
  Meeting meeting_;  // Outlives the backend.
  c10::intrusive_ptr<c10d::Backend> backend_;
};

// What an exception of c10d means.
absl::Status PeerLost(const Rendezvous& rendezvous, const std::exception& e);

}  // namespace crossover::llm
