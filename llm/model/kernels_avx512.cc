#define CROSSOVER_KERNEL_NAMESPACE avx512_kernels
#include "llm/model/kernels_impl.inc"

namespace crossover::llm {
const KernelSet& KernelsAvx512() { return avx512_kernels::MakeSet("avx512"); }
}  // namespace crossover::llm
