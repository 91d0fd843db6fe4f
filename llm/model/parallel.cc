// Compiled with -fopenmp: at::parallel_for is a template and runs serially without it.
#include "llm/model/parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

namespace crossover::llm {

void ParallelRanges(int64_t n, int64_t grain, absl::FunctionRef<void(int64_t, int64_t)> work) {
  at::parallel_for(0, n, grain, [&](int64_t begin, int64_t end) { work(begin, end); });
}

void ParallelTasks(int64_t n, absl::FunctionRef<void(int64_t)> work) {
  const int64_t threads = std::min<int64_t>(n, at::get_num_threads());
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    for (int64_t task = next++; task < n; task = next++) work(task);
  });
}

}  // namespace crossover::llm
