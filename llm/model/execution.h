// How the language-model library computes on this machine: threads and number type.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace crossover::llm {

enum class ComputeType {
  kAuto,  // bf16 where the processor multiplies bf16 in hardware (AMX or AVX-512-BF16), fp32
          // elsewhere.
  kBf16,
  kFp32,
};

// How a base model's matrices are kept in memory.
enum class WeightStorage {
  kAuto,    // Dense where that takes at most half of the memory that is free, stored elsewhere.
  kDense,   // In the number type that is computed with.
  kStored,  // As they stand in the file (mapped into memory), decoded each time they are used. For
            // training: generation decodes them once and keeps the result.
  kNf4,     // As stored, but matrices of plain numbers are quantised to NF4 on the way (QLoRA).
            // Embedding and head are left as they are, as bitsandbytes does.
};

struct ExecutionOptions {
  int threads = 0;  // 0: one per core that this process may run on.
  ComputeType compute_type = ComputeType::kAuto;
  WeightStorage weights = WeightStorage::kDense;
};

const char* NameOf(WeightStorage storage);

// "auto", "bf16" or "fp32"; "auto", "dense", "stored" or "nf4". For another text InvalidArgument
// CONFIG_INVALID, which tells these; `setting` names the setting in it.
absl::StatusOr<ComputeType> ParseComputeType(std::string_view setting, std::string_view text);
absl::StatusOr<WeightStorage> ParseWeightStorage(std::string_view setting, std::string_view text);

// What Resolve() chose. Never kAuto, but for `weights` before a model is loaded.
struct Execution {
  int threads = 1;
  ComputeType compute_type = ComputeType::kFp32;
  WeightStorage weights = WeightStorage::kDense;
  std::string instructions;  // "amx-bf16", "avx512-bf16", "avx512", "avx2" or "scalar".

  bool bf16() const { return compute_type == ComputeType::kBf16; }
};

// Measures nothing: reads the processor's feature bits and the affinity mask.
Execution Resolve(const ExecutionOptions& options);

// Whether this processor has AVX-512-BF16 and no AMX: products with this library's own kernels.
bool HasAvx512Bf16WithoutAmx();

// "bf16, 2 threads, avx512-bf16, dense weights", for logs and benchmarks.
std::string ToString(const Execution& execution);

// Makes LibTorch use `execution.threads` threads in work started by the calling thread. OpenMP
// keeps this setting per thread, so every std::thread that computes calls it once.
void BindThread(const Execution& execution);

}  // namespace crossover::llm
