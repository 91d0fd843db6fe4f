// SystemRunner over the house: prompts from the registry, local models over gRPC, upstreams over
// HTTP.
#pragma once

#include <memory>

#include "absl/time/time.h"
#include "common/time/clock.h"
#include "services/evaluation/clients/channels.h"
#include "services/evaluation/domain/ports.h"

namespace crossover::evaluation {

struct SystemRunnerOptions {
  absl::Duration timeout =
      absl::Seconds(120);  // of one answer, where neither system nor upstream says
};

// Borrows the clock. Thread-safe.
std::unique_ptr<SystemRunner> NewSystemRunner(const Channels& channels, Clock& clock,
                                              SystemRunnerOptions options = {});

}  // namespace crossover::evaluation
