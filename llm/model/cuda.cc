#include "llm/model/cuda.h"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"

namespace crossover::llm {

namespace {

absl::Status Unavailable(const std::string& why) {
  return Error(absl::StatusCode::kFailedPrecondition, "CUDA_UNAVAILABLE",
               absl::StrCat("CUDA cannot be used: ", why));
}

}  // namespace

absl::Status LoadCuda(const CudaPlaces& places) {
  const auto exists = [](const std::string& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
  };
  if (std::none_of(places.devices.begin(), places.devices.end(), exists)) {
    return Unavailable(absl::StrCat("this machine has no NVIDIA GPU (none of ",
                                    absl::StrJoin(places.devices, ", "), ")"));
  }
  if (dlopen(places.driver.c_str(), RTLD_LAZY | RTLD_LOCAL) == nullptr)
    return Unavailable(absl::StrCat("NVIDIA's driver is not installed: ", dlerror()));
  if (dlopen(places.libtorch_cuda.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return Unavailable(absl::StrCat(
        "LibTorch's CUDA part does not load (are NVIDIA's libraries installed?): ", dlerror()));
  }
  return absl::OkStatus();
}

}  // namespace crossover::llm
