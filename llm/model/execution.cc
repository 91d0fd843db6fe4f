#include "llm/model/execution.h"

#include <ATen/Parallel.h>
#include <sched.h>

#include <thread>

#include "absl/strings/str_cat.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace crossover::llm {

namespace {

int AvailableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  const unsigned cores = std::thread::hardware_concurrency();
  return cores == 0 ? 1 : static_cast<int>(cores);
}

struct Bf16Support {
  bool amx = false;
  bool avx512 = false;
};

// CPUID leaf 7: AMX-BF16 is EDX bit 22 of subleaf 0, AVX-512-BF16 EAX bit 5 of subleaf 1 (Intel SDM
// volume 2A, table 3-8).
Bf16Support DetectBf16() {
  Bf16Support support;
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__builtin_cpu_supports("avx512bw") || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
    return support;
  support.amx = (d >> 22) & 1;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) support.avx512 = (a >> 5) & 1;
#endif
  return support;
}

}  // namespace

Execution Resolve(const ExecutionOptions& options) {
  Execution execution;
  execution.threads = options.threads > 0 ? options.threads : AvailableCores();
  const Bf16Support bf16 = DetectBf16();
  execution.compute_type = options.compute_type;
  if (options.compute_type == ComputeType::kAuto) {
    execution.compute_type = bf16.amx || bf16.avx512 ? ComputeType::kBf16 : ComputeType::kFp32;
  }
  execution.instructions = "scalar";
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) execution.instructions = "avx2";
  if (__builtin_cpu_supports("avx512bw")) execution.instructions = "avx512";
#endif
  if (bf16.avx512) execution.instructions = "avx512-bf16";
  if (bf16.amx) execution.instructions = "amx-bf16";
  return execution;
}

std::string ToString(const Execution& execution) {
  return absl::StrCat(execution.bf16() ? "bf16" : "fp32", ", ", execution.threads,
                      execution.threads == 1 ? " thread, " : " threads, ", execution.instructions);
}

void BindThread(const Execution& execution) {
  at::init_num_threads();
  at::set_num_threads(execution.threads);
}

}  // namespace crossover::llm
