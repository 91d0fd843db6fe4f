// How the language-model library computes on this machine: threads and number type.
#pragma once

#include <string>

namespace crossover::llm {

enum class ComputeType {
  kAuto,  // bf16 where the processor multiplies bf16 in hardware (AMX or AVX-512-BF16), fp32
          // elsewhere.
  kBf16,
  kFp32,
};

struct ExecutionOptions {
  int threads = 0;  // 0: one per core that this process may run on.
  ComputeType compute_type = ComputeType::kAuto;
};

// What Resolve() chose. Never kAuto.
struct Execution {
  int threads = 1;
  ComputeType compute_type = ComputeType::kFp32;
  std::string instructions;  // "amx-bf16", "avx512-bf16", "avx512", "avx2" or "scalar".

  bool bf16() const { return compute_type == ComputeType::kBf16; }
};

// Measures nothing: reads the processor's feature bits and the affinity mask.
Execution Resolve(const ExecutionOptions& options);

// "bf16, 2 threads, avx512-bf16", for logs and benchmarks.
std::string ToString(const Execution& execution);

// Makes LibTorch use `execution.threads` threads in work started by the calling thread. OpenMP
// keeps this setting per thread, so every std::thread that computes calls it once.
void BindThread(const Execution& execution);

}  // namespace crossover::llm
