#include "llm/lora/folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/status/disk_full.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm {

namespace fs = std::filesystem;

namespace {

absl::Status SyncFolder(const fs::path& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int code = errno;
  if (fd >= 0) close(fd);
  if (synced) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
               absl::StrCat("folder ", folder.string(),
                            " could not be made durable: ", std::strerror(code)));
}

absl::Status WithSpace(const absl::Status& status, const fs::path& folder, int64_t needed_bytes) {
  if (status.code() != absl::StatusCode::kResourceExhausted) return status;
  std::error_code ignored;
  const fs::space_info space = fs::space(folder.parent_path(), ignored);
  return WithContext(
      status, absl::StrCat("writing ", folder.string(), " needs ", needed_bytes, " bytes and ",
                           ignored ? 0 : space.available, " are free"));
}

absl::Status Fill(const fs::path& temporary, absl::FunctionRef<absl::Status(const fs::path&)> write,
                  const fs::path& folder) {
  RETURN_IF_ERROR(write(temporary));
  RETURN_IF_ERROR(SyncFolder(temporary));
  if (rename(temporary.c_str(), folder.c_str()) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
                 absl::StrCat(temporary.string(), " could not be renamed to ", folder.string(),
                              ": ", std::strerror(errno)));
  }
  return SyncFolder(folder.parent_path());
}

}  // namespace

absl::Status WriteFolder(const fs::path& folder, int64_t needed_bytes,
                         absl::FunctionRef<absl::Status(const fs::path&)> write) {
  std::error_code error;
  fs::path target = fs::absolute(folder, error).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // "out/" is out
  if (error) {
    return Error(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
                 absl::StrCat(folder.string(), ": no absolute path: ", error.message()));
  }
  // One that cannot be looked at fails below, where it is made.
  if (fs::exists(target, error)) {
    return Error(absl::StatusCode::kAlreadyExists, "FOLDER_EXISTS",
                 absl::StrCat(target.string(), " exists already; name a folder that does not"));
  }
  const fs::path temporary = absl::StrCat(target.string(), ".partial-", getpid());
  fs::remove_all(temporary, error);
  if (!fs::create_directories(temporary, error)) {
    const bool full = IsDiskFull(error.value());
    return WithSpace(
        Error(full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kFailedPrecondition,
              full ? "DISK_FULL" : "FILE_UNREADABLE",
              absl::StrCat("folder ", temporary.string(), " could not be made: ", error.message())),
        target, needed_bytes);
  }
  const absl::Status status = Fill(temporary, write, target);
  if (!status.ok()) fs::remove_all(temporary, error);
  return WithSpace(status, target, needed_bytes);
}

}  // namespace crossover::llm
