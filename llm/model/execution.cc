#include "llm/model/execution.h"

#include <ATen/Parallel.h>
#include <sched.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

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

absl::Status UnknownChoice(std::string_view setting, std::string_view text, const char* choices) {
  return Error(
      absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
      absl::StrCat(std::string(setting), " is '", std::string(text), "'; ", choices, " are known"));
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
  execution.weights = options.weights;
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

bool HasAvx512Bf16WithoutAmx() {
  const Bf16Support bf16 = DetectBf16();
  return bf16.avx512 && !bf16.amx;
}

const char* NameOf(WeightStorage storage) {
  switch (storage) {
    case WeightStorage::kAuto:
      return "auto";
    case WeightStorage::kDense:
      return "dense";
    case WeightStorage::kStored:
      return "stored";
    case WeightStorage::kNf4:
      break;
  }
  return "nf4";
}

absl::StatusOr<ComputeType> ParseComputeType(std::string_view setting, std::string_view text) {
  if (text == "auto") return ComputeType::kAuto;
  if (text == "bf16") return ComputeType::kBf16;
  if (text == "fp32") return ComputeType::kFp32;
  return UnknownChoice(setting, text, "auto, bf16 and fp32");
}

absl::StatusOr<WeightStorage> ParseWeightStorage(std::string_view setting, std::string_view text) {
  for (const WeightStorage storage :
       {WeightStorage::kAuto, WeightStorage::kDense, WeightStorage::kStored, WeightStorage::kNf4}) {
    if (text == NameOf(storage)) return storage;
  }
  return UnknownChoice(setting, text, "auto, dense, stored and nf4");
}

std::string ToString(const Execution& execution) {
  return absl::StrCat(execution.bf16() ? "bf16" : "fp32", ", ", execution.threads,
                      execution.threads == 1 ? " thread, " : " threads, ", execution.instructions,
                      ", ", NameOf(execution.weights), " weights");
}

void BindThread(const Execution& execution) {
  at::init_num_threads();
  at::set_num_threads(execution.threads);
}

}  // namespace crossover::llm
