#define CROSSOVER_KERNEL_NAMESPACE generic_kernels
#include "llm/model/kernels_impl.inc"

namespace crossover::llm {
const KernelSet& KernelsGeneric() { return generic_kernels::MakeSet("generic"); }
}  // namespace crossover::llm
