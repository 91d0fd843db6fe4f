// JoinGloo. LibTorch exports its Gloo, but not its headers; Debian's are of another version, in
// which some classes have another layout. What is used here was found to agree: Options,
// createDeviceForHostname, the constructor, and calls of the base class.
#define USE_C10D_GLOO  // As LibTorch was built; without it the header is empty.
#include <exception>
#include <memory>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/train/c10d_collective.h"

namespace crossover::llm {

absl::Status CheckRendezvous(const Rendezvous& rendezvous) {
  const auto bad = [](const std::string& what) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_RENDEZVOUS", what);
  };
  if (rendezvous.size < 1 || rendezvous.size > 4096)
    return bad(absl::StrCat("size is ", rendezvous.size, "; 1 to 4096 processes train together"));
  if (rendezvous.rank < 0 || rendezvous.rank >= rendezvous.size) {
    return bad(absl::StrCat("rank is ", rendezvous.rank, "; of ", rendezvous.size,
                            " processes the ranks are 0 to ", rendezvous.size - 1));
  }
  if (rendezvous.port < 1 || rendezvous.port > 65535)
    return bad(absl::StrCat("port is ", rendezvous.port, "; 1 to 65535 is meant"));
  if (rendezvous.host.empty() || rendezvous.own_host.empty())
    return bad("host and own host may not be empty");
  for (const absl::Duration timeout : {rendezvous.timeout, rendezvous.sum_timeout}) {
    if (timeout < absl::Seconds(1))
      return bad(
          absl::StrCat("timeout is ", absl::FormatDuration(timeout), "; at least 1s is meant"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Collective>> JoinGloo(const Rendezvous& rendezvous) {
  RETURN_IF_ERROR(CheckRendezvous(rendezvous));
  ASSIGN_OR_RETURN(Meeting meeting, MeetOthers(rendezvous));
  try {
    auto options = c10d::ProcessGroupGloo::Options::create(
        std::chrono::milliseconds(absl::ToInt64Milliseconds(rendezvous.timeout)));
    options->devices.push_back(
        c10d::ProcessGroupGloo::createDeviceForHostname(rendezvous.own_host));
    options->threads = 1;
    // Its constructor connects to all others.
    const auto backend = std::make_shared<c10::intrusive_ptr<c10d::Backend>>();
    RETURN_IF_ERROR(UnlessStopped(rendezvous, [backend, options, store = meeting.store,
                                               rank = rendezvous.rank, size = rendezvous.size] {
      *backend = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options);
    }));
    return std::make_unique<C10dCollective>(rendezvous, std::move(meeting), std::move(*backend),
                                            at::kCPU);
  } catch (const std::exception& e) {
    return PeerLost(rendezvous, e);
  }
}

}  // namespace crossover::llm
