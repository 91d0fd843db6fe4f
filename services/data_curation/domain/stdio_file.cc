#include "services/data_curation/domain/stdio_file.h"

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/disk_full.h"
#include "common/status/error.h"

namespace crossover::curation {

absl::Status WriteError(const std::filesystem::path& path, int error, std::string_view then) {
  const std::string message =
      absl::StrCat("cannot write ", path.string(), ": ", std::strerror(error));
  if (IsDiskFull(error)) {
    return Error(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                 absl::StrCat(message, ". Free some space, then ", ToAbsl(then)));
  }
  return Error(absl::StatusCode::kUnavailable, "FILE_WRITE_FAILED", message);
}

}  // namespace crossover::curation
