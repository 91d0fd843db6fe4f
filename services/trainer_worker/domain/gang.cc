#include "services/trainer_worker/domain/gang.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/trainer_worker/domain/gang_address.h"

namespace crossover::worker {
namespace {

// What one is asked to do all do; the first of these if they are asked different things.
constexpr std::array kStops = {Stop::kCancel, Stop::kPause, Stop::kDrain, Stop::kPreempt};

// What all of a gang begin with, the first cause first: who computes in another type cannot go on
// from the others' checkpoint either.
struct Shared {
  const char* reason;
  const char* what;
  const std::string& (*value)(const GangStart& start);
  const char* advice;
};
constexpr std::array kShared = {
    Shared{"WORKERS_DIFFER", "computes in another type than",
           [](const GangStart& it) -> const std::string& { return it.terms.compute_type; },
           "start all that train together with the same --compute-type"},
    Shared{"WORKERS_DIFFER", "has other base weights than",
           [](const GangStart& it) -> const std::string& { return it.terms.base_weights; },
           "start all that train together with the same --base-weights and blob store"},
    Shared{"WORKERS_DIFFER", "has other rows or settings than",
           [](const GangStart& it) -> const std::string& { return it.terms.rows; },
           "all that train together need the same version of the program and the same blob store"},
    Shared{"CHECKPOINT_MISMATCH", "goes on from another checkpoint than",
           [](const GangStart& it) -> const std::string& { return it.checkpoint; },
           "one of them could not read the last"},
};

// Equal for equal texts, and exact in a double.
double Fingerprint(const std::string& text) {
  if (text.empty()) return 0;
  return static_cast<double>((XXH3_64bits(text.data(), text.size()) >> 12) + 1);
}

// `rank` is this worker's own, whose value is the only one that is known as a text.
absl::Status Differs(const Shared& shared, std::ptrdiff_t other, size_t rank,
                     const GangStart& start) {
  const std::string& own = shared.value(start);
  return Error(absl::StatusCode::kUnavailable, shared.reason,
               absl::StrCat("rank ", other, " ", shared.what, " rank 0 (rank ", rank, ": ",
                            own.empty() ? "none" : own, "): ", shared.advice));
}

// Something to say brings the next beat, and with it the scheduler's word, within a second.
void BeatSoon(JobContext& context, const char* phase) {
  context.keeper.TellPhase(phase);
  context.keeper.Poll();
}

}  // namespace

void AwaitLeader(JobContext& context) {
  while (!context.keeper.lost()) {
    BeatSoon(context, "waiting for rank 0");
    context.deps.clock.SleepFor(absl::Milliseconds(200));
  }
}

absl::StatusOr<Stop> Gang::Meet() {
  if (alone()) return Stop::kNone;
  const LeasedJob& job = context_.job();
  if (!context_.deps.join) {
    return Error(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
                 "this worker trains alone, but its lease is one of a gang");
  }
  ASSIGN_OR_RETURN(const GangAddress address,
                   ParseGangAddress("the gang's rendezvous", job.gang.rendezvous));
  llm::Rendezvous rendezvous{.rank = job.gang.rank,
                             .size = job.gang.size,
                             .host = address.host,
                             .port = address.port,
                             .purpose = absl::StrCat(job.name, " ", job.epoch),
                             .timeout = kMeetTimeout,
                             .sum_timeout = kSumTimeout,
                             .first_sum_timeout = kFirstSumTimeout,
                             .stop = [this] {
                               // Asked to pause or to drain, a gang that trains stops after a
                               // step.
                               if (!meeting_) return context_.keeper.lost();
                               BeatSoon(context_, "meeting the others");
                               asked_ = AskedToStop(context_, nullptr);
                               return asked_ != Stop::kNone;
                             }};
  meeting_ = true;
  absl::StatusOr<std::shared_ptr<llm::Collective>> peers = context_.deps.join(rendezvous);
  meeting_ = false;
  if (asked_ != Stop::kNone) return asked_;
  RETURN_IF_ERROR(peers.status());
  peers_ = *std::move(peers);
  context_.met = true;
  context_.deps.logger.Info("gang_met", {{"job", job.name},
                                         {"epoch", job.epoch},
                                         {"rank", job.gang.rank},
                                         {"size", job.gang.size},
                                         {"rendezvous", job.gang.rendezvous}});
  return Stop::kNone;
}

absl::StatusOr<Stop> Gang::AgreeWith(std::span<double> numbers, Stop stop) {
  std::vector<double> sums(kStops.size(), 0);
  for (size_t i = 0; i < kStops.size(); ++i) sums[i] = kStops[i] == stop ? 1 : 0;
  sums.insert(sums.end(), numbers.begin(), numbers.end());
  RETURN_IF_ERROR(peers_->Sum(std::span<double>(sums)));
  std::copy(sums.begin() + kStops.size(), sums.end(), numbers.begin());
  for (size_t i = 0; i < kStops.size(); ++i) {
    if (sums[i] > 0) return kStops[i];
  }
  return Stop::kNone;
}

absl::StatusOr<Stop> Gang::Agree(Stop stop) {
  if (alone()) return stop;
  return AgreeWith({}, stop);
}

absl::StatusOr<Stop> Gang::AgreeOnStart(const absl::Status& mine, Stop stop,
                                        const GangStart& start) {
  if (alone() || stop == Stop::kLost) {
    RETURN_IF_ERROR(mine);
    return stop;
  }
  const auto size = static_cast<size_t>(context_.job().gang.size);
  const auto rank = static_cast<size_t>(context_.job().gang.rank);
  std::vector<double> numbers(1 + kShared.size() * size, 0);  // of failures; then of each by rank
  if (!mine.ok()) numbers[0] = 1;
  for (size_t i = 0; i < kShared.size(); ++i)
    numbers[1 + i * size + rank] = Fingerprint(kShared[i].value(start));
  const absl::StatusOr<Stop> agreed = AgreeWith(numbers, stop);
  RETURN_IF_ERROR(mine);
  RETURN_IF_ERROR(agreed.status());
  if (numbers[0] > 0) {
    return Error(absl::StatusCode::kUnavailable, "PEER_LOST",
                 absl::StrCat(numbers[0], " of the ", size,
                              " workers that share the job could not begin it"));
  }
  if (*agreed != Stop::kNone) return agreed;
  for (size_t i = 0; i < kShared.size(); ++i) {
    const auto of_all = std::span<const double>(numbers).subspan(1 + i * size, size);
    const auto differs = std::find_if(of_all.begin(), of_all.end(),
                                      [&](double other) { return other != of_all[0]; });
    if (differs == of_all.end()) continue;
    return Differs(kShared[i], differs - of_all.begin(), rank, start);
  }
  return Stop::kNone;
}

}  // namespace crossover::worker
