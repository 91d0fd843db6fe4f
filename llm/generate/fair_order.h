// The order in which waiting sequences are admitted: start-time fair queueing (Goyal, Vin, Cheng,
// SIGCOMM 1996) on two levels, callers first and then the adapters that one caller asks. No torch.
// Not thread-safe.
//
// A sequence's tag is when its caller would begin it if every caller were served tokens at the same
// rate; the smallest tag goes first. Who asks for much thus waits behind its own requests and not
// in front of others', and one that was idle gains nothing by it; nor does one that asks under many
// adapters or mixes, for it has one share whatever it asks. In the places that this gives a caller
// its sequences stand by their inner tags, which are the same thing between its adapters. With one
// adapter it is first come, first served.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "llm/generate/sequence.h"

namespace crossover::llm {

class FairOrder {
 public:
  // Puts a sequence that joins the queue at its place in `waiting`, which is in the order of
  // admission. Preempted ones, at the head, are passed by nobody.
  void Join(std::unique_ptr<Sequence> sequence, std::deque<std::unique_ptr<Sequence>>& waiting);
  // The sequence is being computed now: time goes on.
  void Admitted(const Sequence& sequence);

  // Callers and adapters that are remembered.
  size_t flows() const;

 private:
  struct Caller {
    double now = 0;                       // Inner tag of its last admitted sequence.
    double finish = 0;                    // When its last sequence would end.
    std::map<uint64_t, double> adapters;  // The same for each, by registration.
  };

  void SetTags(Sequence& sequence);
  void ForgetIdleFlows(bool nothing_waits);

  double now_ = 0;  // Tag of the last admitted sequence.
  std::map<std::string, Caller> callers_;
  size_t flows_ = 0;  // Adapters of all callers.
};

}  // namespace crossover::llm
