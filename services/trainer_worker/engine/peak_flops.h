// What this processor can do, to compare a training with.
#pragma once

#include "llm/model/execution.h"

namespace crossover::worker {

// Floating-point operations a second of one large matrix product, with the calling thread's
// settings (llm::BindThread). Measures for about a fifth of a second.
double MeasurePeakFlops(const llm::Execution& execution);

}  // namespace crossover::worker
