#include "llm/model/kernels.h"

#include "llm/model/bf16_products.h"
#include "llm/model/execution.h"
#include "llm/model/f32_products.h"
#include "llm/model/f32_quantised.h"

namespace crossover::llm {

namespace {

#if defined(__x86_64__)
bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

const KernelSet& Choose() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("fma")) {
    return KernelsAvx512();
  }
  if (HasAvx2()) return KernelsAvx2();
#endif
  return KernelsGeneric();
}

}  // namespace

const KernelSet& Kernels() {
  static const KernelSet& set = Choose();
  return set;
}

const Bf16Products* Bf16ProductsHere() {
#if defined(__x86_64__)
  static const Bf16Products* const products =
      HasAvx512Bf16WithoutAmx() ? &Bf16ProductsAvx512() : nullptr;
  return products;
#else
  return nullptr;
#endif
}

const F32Products* F32ProductsHere() {
#if defined(__x86_64__)
  static const F32Products* const products =
      HasAvx2() && !__builtin_cpu_supports("avx512f") ? &F32ProductsAvx2() : nullptr;
  return products;
#else
  return nullptr;
#endif
}

const F32Quantised* F32QuantisedHere() {
#if defined(__x86_64__)
  static const F32Quantised* const products = HasAvx2() ? &F32QuantisedAvx2() : nullptr;
  return products;
#else
  return nullptr;
#endif
}

}  // namespace crossover::llm
