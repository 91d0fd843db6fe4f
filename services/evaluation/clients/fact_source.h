// Facts of other rooms for the gate: the task and its prices from the registry, the data's counts
// and findings from curation.
#pragma once

#include <memory>

#include "services/evaluation/clients/channels.h"
#include "services/evaluation/domain/ports.h"

namespace crossover::evaluation {

// `rows` measures coverage. Borrows it. Thread-safe.
std::unique_ptr<FactSource> NewFactSource(const Channels& channels, RowSource& rows);

}  // namespace crossover::evaluation
