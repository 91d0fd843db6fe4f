#include "llm/train/c10d_collective.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "common/time/clock.h"

namespace crossover::llm {

namespace {

// How often a wait looks whether it is to end.
constexpr absl::Duration kLook = absl::Seconds(1);
// How many times slower than this process another one may be.
constexpr int kSlowness = 10;

std::chrono::milliseconds Milliseconds(absl::Duration duration) {
  return std::chrono::milliseconds(absl::ToInt64Milliseconds(duration));
}

// Without the call stack, which LibTorch puts behind its messages.
std::string MessageOf(const std::exception& e) {
  const auto* error = dynamic_cast<const c10::Error*>(&e);
  return error == nullptr ? e.what() : error->what_without_backtrace();
}

absl::Status NotMet(const Rendezvous& rendezvous, const std::string& why) {
  return Error(
      absl::StatusCode::kUnavailable, "PEER_LOST",
      absl::StrCat("rank ", rendezvous.rank, " of ", rendezvous.size, " at ", rendezvous.host, ":",
                   rendezvous.port, " could not meet the others: ", why));
}

absl::Status Stopped(int rank, int size) {
  return absl::CancelledError(
      absl::StrCat("rank ", rank, " of ", size, " was asked to wait for the others no longer"));
}

bool AskedToStop(const std::function<bool()>& stop) { return stop && stop(); }

c10::intrusive_ptr<c10d::Store> OpenStore(const Rendezvous& rendezvous, bool serve,
                                          absl::Duration timeout) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(rendezvous.port);
  options.isServer = serve;
  options.waitWorkers = false;
  options.timeout = Milliseconds(timeout);
  return c10::make_intrusive<c10d::TCPStore>(rendezvous.host, options);
}

// Rank 0's own. Blocks for as long as it cannot reach itself under its host.
absl::StatusOr<c10::intrusive_ptr<c10d::Store>> Serve(const Rendezvous& rendezvous) {
  const auto store = std::make_shared<c10::intrusive_ptr<c10d::Store>>();
  RETURN_IF_ERROR(UnlessStopped(rendezvous, [store, rendezvous] {
    *store = OpenStore(rendezvous, /*serve=*/true, rendezvous.timeout);
  }));
  return std::move(*store);
}

// Until rank 0 is there to answer.
absl::StatusOr<c10::intrusive_ptr<c10d::Store>> Visit(const Rendezvous& rendezvous,
                                                      absl::Duration deadline) {
  while (true) {
    try {
      return OpenStore(rendezvous, /*serve=*/false, kLook);
    } catch (const std::exception& e) {
      if (AskedToStop(rendezvous.stop)) return Stopped(rendezvous.rank, rendezvous.size);
      if (SystemClock().SteadyNow() >= deadline) return PeerLost(rendezvous, e);
    }
  }
}

// The store may fall silent, so it is another thread that asks it.
absl::Status AwaitAll(const Rendezvous& rendezvous, c10::intrusive_ptr<c10d::Store> store,
                      absl::Duration deadline) {
  struct Arrivals {
    std::atomic<int64_t> there = 0;
    std::atomic<bool> given_up = false;
  };
  const auto arrivals = std::make_shared<Arrivals>();
  const auto wait = [arrivals, store = std::move(store), deadline, size = rendezvous.size] {
    const std::string arrived = "arrived";
    arrivals->there = store->add(arrived, 1);
    while (arrivals->there < size && !arrivals->given_up && SystemClock().SteadyNow() < deadline) {
      SystemClock().SleepFor(absl::Milliseconds(20));
      arrivals->there = store->add(arrived, 0);
    }
  };
  const absl::Status waited = UnlessStopped(rendezvous, wait);
  arrivals->given_up = true;
  RETURN_IF_ERROR(waited);
  if (arrivals->there >= rendezvous.size) return absl::OkStatus();
  return NotMet(rendezvous, absl::StrCat(arrivals->there.load(), " came within ",
                                         absl::FormatDuration(rendezvous.timeout)));
}

}  // namespace

absl::StatusOr<Meeting> MeetOthers(const Rendezvous& rendezvous) {
  const absl::Duration deadline = SystemClock().SteadyNow() + rendezvous.timeout;
  try {
    Meeting meeting;
    if (rendezvous.rank == 0) {
      ASSIGN_OR_RETURN(meeting.server, Serve(rendezvous));
    }
    ASSIGN_OR_RETURN(c10::intrusive_ptr<c10d::Store> store, Visit(rendezvous, deadline));
    store->setTimeout(Milliseconds(rendezvous.timeout));
    meeting.store =
        c10::make_intrusive<c10d::PrefixStore>("for " + rendezvous.purpose, std::move(store));
    RETURN_IF_ERROR(AwaitAll(rendezvous, meeting.store, deadline));
    return meeting;
  } catch (const std::exception& e) {
    return PeerLost(rendezvous, e);
  }
}

absl::Status UnlessStopped(const Rendezvous& rendezvous, std::function<void()> work) {
  if (!rendezvous.stop) {
    work();
    return absl::OkStatus();
  }
  std::packaged_task<void()> task(std::move(work));
  std::future<void> done = task.get_future();
  std::thread(std::move(task)).detach();
  while (done.wait_for(Milliseconds(kLook)) != std::future_status::ready) {
    if (rendezvous.stop()) return Stopped(rendezvous.rank, rendezvous.size);
  }
  done.get();
  return absl::OkStatus();
}

absl::Status PeerLost(const Rendezvous& rendezvous, const std::exception& e) {
  return NotMet(rendezvous, MessageOf(e));
}

C10dCollective::C10dCollective(const Rendezvous& rendezvous, Meeting meeting,
                               c10::intrusive_ptr<c10d::Backend> backend, at::Device device)
    : rank_(rendezvous.rank),
      size_(rendezvous.size),
      timeout_(rendezvous.sum_timeout),
      first_timeout_(std::max(rendezvous.sum_timeout, rendezvous.first_sum_timeout)),
      stop_(rendezvous.stop),
      device_(device),
      meeting_(std::move(meeting)),
      backend_(std::move(backend)) {}

// c10d's threads, and copies back from them, work on the tensor outside of the caller's
// InferenceMode, so it must not be born inside.
absl::Status C10dCollective::Sum(std::span<float> values) {
  const c10::InferenceMode ordinary(false);
  return SumTensor(at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::kFloat));
}

absl::Status C10dCollective::Sum(std::span<double> values) {
  const c10::InferenceMode ordinary(false);
  return SumTensor(
      at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::kDouble));
}

absl::Status C10dCollective::SumTensor(at::Tensor values) {
  const auto lost = [this](const std::string& why) {
    return Error(absl::StatusCode::kUnavailable, "PEER_LOST",
                 absl::StrCat("rank ", rank_, " of ", size_,
                              " lost another one while it added up gradients: ", why));
  };
  if (backend_ == nullptr) return lost("an earlier sum was given up");
  try {
    // A sum that may be given up does not work on the caller's memory.
    const bool copied = stop_ || !device_.is_cpu();
    std::vector<at::Tensor> tensors = {
        copied ? values.to(device_, values.scalar_type(), /*non_blocking=*/false, /*copy=*/true)
               : values};
    c10d::AllreduceOptions options;
    options.timeout = Milliseconds(Patience());
    c10::intrusive_ptr<c10d::Work> work = backend_->allreduce(tensors, options);
    if (!Await(*work)) {
      Abandon(std::move(work), std::move(tensors[0]));
      return Stopped(rank_, size_);
    }
    if (copied) values.copy_(tensors[0]);
    last_sum_ = SystemClock().SteadyNow();
    return absl::OkStatus();
  } catch (const std::exception& e) {
    return lost(MessageOf(e));
  }
}

absl::Duration C10dCollective::Patience() const {
  if (!last_sum_.has_value()) return first_timeout_;
  return std::max(timeout_, kSlowness * (SystemClock().SteadyNow() - *last_sum_));
}

bool C10dCollective::Await(c10d::Work& work) const {
  while (stop_ && !work.isCompleted()) {
    try {
      work.wait(Milliseconds(kLook));
    } catch (const std::exception&) {
      // Its time is over, or it has failed: it is completed then, and says so below.
      if (!work.isCompleted() && stop_()) return false;
    }
  }
  work.wait();
  return true;
}

void C10dCollective::Abandon(c10::intrusive_ptr<c10d::Work> work, at::Tensor values) {
  meeting_.server.reset();
  std::thread([work = std::move(work), values = std::move(values), store = meeting_.store,
               backend = std::exchange(backend_, nullptr)]() mutable {
    try {
      work->wait();
    } catch (const std::exception&) {
      // Nobody asks any more.
    }
    backend.reset();
  }).detach();
}

}  // namespace crossover::llm
