#define CROSSOVER_KERNEL_NAMESPACE avx2_kernels
#include "llm/model/kernels_impl.inc"

namespace crossover::llm {
const KernelSet& KernelsAvx2() { return avx2_kernels::MakeSet("avx2"); }
}  // namespace crossover::llm
