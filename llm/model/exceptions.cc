#include "llm/model/exceptions.h"

#include <new>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/status/error.h"

namespace crossover::llm {

absl::Status FromException(const std::exception& exception) {
  const absl::string_view what = exception.what();
  // LibTorch's allocator throws its general error, so its words have to do.
  const bool memory = dynamic_cast<const std::bad_alloc*>(&exception) != nullptr ||
                      absl::StrContains(what, "can't allocate memory") ||
                      absl::StrContains(what, "not enough memory");
  if (memory)
    return Error(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                 absl::StrCat("memory does not suffice: ", what));
  return Error(absl::StatusCode::kInternal, "TRAINING_FAILED",
               absl::StrCat("computation failed: ", what));
}

}  // namespace crossover::llm
