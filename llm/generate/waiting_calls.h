// How many calls wait for an engine and for whom, and whether one more may. No torch. Thread-safe.
//
// What one client asks for at once is one call, however many sequences it makes: the texts to
// embed, the continuations to score, the n answers to several prompts. A call is let in or refused
// as a whole, before anything of it waits, so that a large one is not refused by an idle engine for
// ever; it may stand over the bound alone.
//
// No caller can keep the others out: over the bound, who has fewer calls waiting than the bound
// divided by the callers that wait, itself among them, is still let in. So at most
// bound * (2 + ln bound) calls wait, and that only if as many callers ask for all they can get.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::llm {

class WaitingCalls {
  struct Call;

 public:
  // What a sequence holds from when it is let in to its end. Movable; ends with its owner. Borrows
  // the WaitingCalls.
  class Stay {
   public:
    Stay() = default;
    Stay(Stay&& other) noexcept;
    Stay& operator=(Stay&& other) noexcept;
    ~Stay();

    // It is computed from now on. Harmless when it waits no more.
    void EndWaiting();

   private:
    friend class WaitingCalls;
    Stay(WaitingCalls* of, Call* call) : of_(of), call_(call), waits_(true) {}
    void End();

    WaitingCalls* of_ = nullptr;
    Call* call_ = nullptr;
    bool waits_ = false;
  };

  // `max_calls` may wait. So that calls of very many sequences cannot take all memory, 16 times as
  // many sequences are the bound as well.
  explicit WaitingCalls(int64_t max_calls) : max_calls_(max_calls) {}

  // Lets `sequences` (at least 1) of a call in. With a number other than 0, what the caller asks
  // under that number is one call: while anything of it waits or is computed, the rest is let in.
  // ResourceExhausted("QUEUE_FULL"): too much waits, and the caller has its share of it.
  absl::StatusOr<std::vector<Stay>> Enter(const std::string& caller, uint64_t number,
                                          size_t sequences);

  int64_t calls() const;

 private:
  // Caller and number; of a call without one, a number of its own.
  using Key = std::tuple<std::string, bool, uint64_t>;
  struct Call {
    Key key;
    int64_t waiting = 0;  // Sequences, and those that have not ended.
    int64_t unfinished = 0;
  };

  // What waits, of all or of one caller.
  struct Amount {
    int64_t calls = 0;
    int64_t sequences = 0;
  };

  absl::Status MayEnter(const std::string& caller) const;
  void Begin(Call& call, int64_t sequences);
  void EndWaiting(Call& call);
  void End(Call& call);

  const int64_t max_calls_;
  mutable std::mutex mutex_;
  std::map<Key, Call> calls_;
  Amount waiting_;
  std::map<std::string, Amount> callers_;  // Of whom anything waits.
  uint64_t unnumbered_ = 0;
};

}  // namespace crossover::llm
