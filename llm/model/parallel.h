// Work on LibTorch's OpenMP threads. The number of threads is the calling thread's (BindThread).
#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"

namespace crossover::llm {

// Splits [0, n) into at most one contiguous range per thread, none shorter than `grain` if it can
// be avoided.
void ParallelRanges(int64_t n, int64_t grain,
                    absl::FunctionRef<void(int64_t begin, int64_t end)> work);

// Runs work(0) … work(n-1), each once, on whichever thread is free. Results must not depend on the
// order.
void ParallelTasks(int64_t n, absl::FunctionRef<void(int64_t task)> work);

}  // namespace crossover::llm
