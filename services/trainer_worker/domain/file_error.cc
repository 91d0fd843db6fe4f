#include "services/trainer_worker/domain/file_error.h"

#include <cerrno>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/disk_full.h"
#include "common/status/error.h"

namespace crossover::worker {

absl::Status FileError(std::string_view what, const std::filesystem::path& path, int code) {
  const std::string message = absl::StrCat("cannot ", ToAbsl(what), " ", path.string(), ": ",
                                           std::generic_category().message(code));
  if (IsDiskFull(code)) {
    return Error(absl::StatusCode::kResourceExhausted, "DISK_FULL", message);
  }
  const bool denied = code == EACCES || code == EPERM || code == EROFS;
  return Error(denied ? absl::StatusCode::kPermissionDenied : absl::StatusCode::kUnavailable,
               "FILE_UNUSABLE", message);
}

}  // namespace crossover::worker
