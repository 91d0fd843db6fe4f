// A c10d backend as a Collective. Sees torch; private to the rooms that make one.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <memory>
#include <span>

#include "llm/train/collective.h"

namespace crossover::llm {

// Rank 0 serves it. Throws c10::DistStoreError if someone does not come in time.
c10::intrusive_ptr<c10d::Store> MeetOthers(const Rendezvous& rendezvous);

class C10dCollective final : public Collective {
 public:
  // Sums on `device`: values are copied there and back unless it is the CPU.
  C10dCollective(c10::intrusive_ptr<c10d::Store> store, c10::intrusive_ptr<c10d::Backend> backend,
                 at::Device device)
      : store_(std::move(store)), backend_(std::move(backend)), device_(device) {}

  int rank() const override { return backend_->getRank(); }
  int size() const override { return backend_->getSize(); }
  absl::Status Sum(std::span<float> values) override;
  absl::Status Sum(std::span<double> values) override;

 private:
  absl::Status SumTensor(at::Tensor values);

  c10::intrusive_ptr<c10d::Store> store_;  // Outlives the backend.
  c10::intrusive_ptr<c10d::Backend> backend_;
  at::Device device_;
};

// What an exception of c10d means.
absl::Status PeerLost(const Rendezvous& rendezvous, const std::exception& e);

}  // namespace crossover::llm
