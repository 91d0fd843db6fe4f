// Brings LibTorch's CUDA part into the process. The program itself is not linked with it: the same
// binary runs where there is no GPU. No torch.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace crossover::llm {

// Where to look.
struct CudaPlaces {
  // One of these must exist: NVIDIA's driver makes it where there is a GPU.
  std::vector<std::string> devices = {"/dev/nvidiactl", "/dev/dxg"};
  std::string driver = "libcuda.so.1";             // Of the driver, by the loader's search path.
  std::string libtorch_cuda = "libtorch_cuda.so";  // Beside libtorch_cpu.so, by its rpath.
};

// Loads libtorch_cuda.so, whose kernels register themselves, for all of the process and for good.
// Must come before the first call of ATen that asks about CUDA: ATen remembers that answer.
// FailedPrecondition("CUDA_UNAVAILABLE") says what is missing: a GPU, the driver, or the libraries
// (with the loader's words).
absl::Status LoadCuda(const CudaPlaces& places = {});

}  // namespace crossover::llm
