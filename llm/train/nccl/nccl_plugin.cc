// libcrossover_nccl.so, built only where nccl.h and the CUDA runtime's headers are. Not run on the
// machines this was developed on, which have no GPU.
#include <exception>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "llm/train/c10d_collective.h"
#include "llm/train/nccl/plugin.h"

extern "C" __attribute__((visibility("default"))) void crossover_nccl_join(
    const crossover::llm::Rendezvous& rendezvous,
    absl::StatusOr<std::unique_ptr<crossover::llm::Collective>>& joined) {
  using namespace crossover::llm;
  try {
    absl::StatusOr<Meeting> meeting = MeetOthers(rendezvous);
    if (!meeting.ok()) {
      joined = meeting.status();
      return;
    }
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = std::chrono::milliseconds(absl::ToInt64Milliseconds(rendezvous.sum_timeout));
    c10::intrusive_ptr<c10d::Backend> backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(
        meeting->store, rendezvous.rank, rendezvous.size, options);
    // Ranks of one machine take its devices in turn.
    const auto devices = c10::impl::VirtualGuardImpl(c10::kCUDA).deviceCount();
    TORCH_CHECK(devices > 0, "there is no CUDA device");
    const at::Device device(at::kCUDA, static_cast<c10::DeviceIndex>(rendezvous.rank % devices));
    joined = std::make_unique<C10dCollective>(rendezvous, *std::move(meeting), std::move(backend),
                                              device);
  } catch (const std::exception& e) {
    joined = PeerLost(rendezvous, e);
  }
}
