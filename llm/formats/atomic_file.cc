#include "llm/formats/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/disk_full.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/mapped_file.h"

namespace crossover::llm {
namespace {

// EFBIG: the limit on file size (ulimit -f) is the disk this process has.
bool IsFull(int error) { return IsDiskFull(error) || error == EFBIG; }

std::filesystem::path FolderOf(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

absl::Status DiskFull(const std::filesystem::path& path, uint64_t needed) {
  std::error_code unknown;
  const std::filesystem::space_info space = std::filesystem::space(FolderOf(path), unknown);
  const std::string available = unknown ? "an unknown number" : absl::StrCat(space.available);
  return Error(absl::StatusCode::kResourceExhausted,
               absl::StrCat(path.string(), ": the disk is full: the file needs ", needed,
                            " bytes and ", available,
                            " are free; free some space, or write to a larger disk, and try again"),
               {.reason = "DISK_FULL",
                .metadata = {{"path", path.string()}, {"needed_bytes", std::to_string(needed)}}});
}

absl::Status FileError(const std::filesystem::path& path, std::string_view doing, int error,
                       uint64_t needed) {
  if (IsFull(error)) return DiskFull(path, needed);
  return Error(
      absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
      absl::StrCat(path.string(), ": error while ", ToAbsl(doing), ": ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::filesystem::path& path) {
  static std::atomic<uint64_t> next{0};
  for (;;) {
    std::string temporary = absl::StrCat(path.string(), ".tmp-", getpid(), "-", next++);
    // 0666 less the process's mask: an artifact is as readable as any other file the process makes.
    const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return std::unique_ptr<AtomicFile>(new AtomicFile(path, std::move(temporary), fd));
    // Left behind by a killed process that had this id.
    if (errno != EEXIST) return FileError(path, "creating it", errno, 0);
  }
}

AtomicFile::AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

absl::Status AtomicFile::Failure(std::string_view doing, uint64_t unwritten) const {
  return FileError(path_, doing, errno, std::max(expected_, size_ + unwritten));
}

absl::Status AtomicFile::Append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failure("writing it", bytes.size());
    size_ += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Append(std::string_view text) {
  return Append(std::as_bytes(std::span<const char>(text.data(), text.size())));
}

absl::Status AtomicFile::Commit() {
  if (fsync(fd_) != 0) return Failure("syncing it");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return Failure("renaming it");
  close(std::exchange(fd_, -1));
  const int folder_fd = open(FolderOf(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) return Failure("opening its folder");
  const int synced = fsync(folder_fd);
  const int error = errno;
  close(folder_fd);
  return synced == 0 ? absl::OkStatus() : FileError(path_, "syncing its folder", error, size_);
}

absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view text) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
  RETURN_IF_ERROR(file->Append(text));
  return file->Commit();
}

absl::StatusOr<std::string> ReadTextFile(const std::filesystem::path& path, size_t limit) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  const std::span<const std::byte> bytes = file->bytes();
  if (bytes.size() > limit) {
    return Error(
        absl::StatusCode::kInvalidArgument, "FILE_TOO_LARGE",
        absl::StrCat(path.string(), ": ", bytes.size(), " bytes; at most ", limit, " are read"));
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace crossover::llm
