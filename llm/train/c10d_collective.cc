#include "llm/train/c10d_collective.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <chrono>
#include <exception>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::llm {

namespace {

// Without the call stack, which LibTorch puts behind its messages.
std::string MessageOf(const std::exception& e) {
  const auto* error = dynamic_cast<const c10::Error*>(&e);
  return error == nullptr ? e.what() : error->what_without_backtrace();
}

}  // namespace

c10::intrusive_ptr<c10d::Store> MeetOthers(const Rendezvous& rendezvous) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(rendezvous.port);
  options.isServer = rendezvous.rank == 0;
  options.numWorkers = static_cast<size_t>(rendezvous.size);
  options.waitWorkers = true;
  options.timeout = std::chrono::milliseconds(absl::ToInt64Milliseconds(rendezvous.timeout));
  return c10::make_intrusive<c10d::TCPStore>(rendezvous.host, options);
}

absl::Status PeerLost(const Rendezvous& rendezvous, const std::exception& e) {
  return Error(
      absl::StatusCode::kUnavailable, "PEER_LOST",
      absl::StrCat("rank ", rendezvous.rank, " of ", rendezvous.size, " at ", rendezvous.host, ":",
                   rendezvous.port, " could not meet the others: ", MessageOf(e)));
}

absl::Status C10dCollective::Sum(std::span<float> values) {
  return SumTensor(at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::kFloat));
}

absl::Status C10dCollective::Sum(std::span<double> values) {
  return SumTensor(
      at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::kDouble));
}

absl::Status C10dCollective::SumTensor(at::Tensor values) {
  // c10d's threads work on the tensor outside of the caller's InferenceMode.
  const c10::InferenceMode ordinary(false);
  try {
    std::vector<at::Tensor> tensors = {device_.is_cpu() ? values : values.to(device_)};
    backend_->allreduce(tensors)->wait();
    if (!device_.is_cpu()) values.copy_(tensors[0]);
    return absl::OkStatus();
  } catch (const std::exception& e) {
    return Error(absl::StatusCode::kUnavailable, "PEER_LOST",
                 absl::StrCat("rank ", rank(), " of ", size(),
                              " lost another one while it added up gradients: ", MessageOf(e)));
  }
}

}  // namespace crossover::llm
