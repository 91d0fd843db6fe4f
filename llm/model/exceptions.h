// Where exceptions of LibTorch and the standard library end. No torch.
#pragma once

#include <exception>

#include "absl/status/status.h"

namespace crossover::llm {

// ResourceExhausted OUT_OF_MEMORY for std::bad_alloc and for what LibTorch's allocator says when
// memory does not suffice; Internal TRAINING_FAILED for any other, which is a fault of the program.
absl::Status FromException(const std::exception& exception);

// What `work` returns: a Status or a StatusOr; FromException of what it throws.
template <typename Work>
auto WithoutExceptions(const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::exception& exception) {
    return FromException(exception);
  }
}

}  // namespace crossover::llm
