// The order in which waiting sequences are admitted: start-time fair queueing (Goyal, Vin, Cheng,
// SIGCOMM 1996) over flows. No torch. Not thread-safe.
//
// A flow is one adapter asked by one caller. A sequence's tag is when its flow would begin it if
// every flow were served tokens at the same rate; the smallest tag goes first. A flow that asks for
// much thus waits behind its own requests and not in front of others', and one that was idle gains
// nothing by it. Within a flow it is first come, first served.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "llm/generate/sequence.h"

namespace crossover::llm {

class FairOrder {
 public:
  // Sets sequence.tag. Once, when it joins the queue.
  void Join(Sequence& sequence);
  // The sequence is being computed now: time goes on.
  void Admitted(const Sequence& sequence);

  // Whether `a` goes before `b`, which came earlier: only if it must.
  static bool Passes(const Sequence& a, const Sequence& b);

  size_t flows() const { return finish_.size(); }

 private:
  void ForgetIdleFlows();

  double now_ = 0;                        // Tag of the last admitted sequence.
  std::map<std::string, double> finish_;  // When each flow's last sequence would end.
};

}  // namespace crossover::llm
