#include "llm/formats/atomic_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/mapped_file.h"

namespace crossover::llm {
namespace {

absl::Status FileError(const std::filesystem::path& path, std::string_view doing, int error) {
  if (error == ENOSPC || error == EDQUOT) {
    return Error(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                 absl::StrCat(path.string(), ": the disk is full while ", ToAbsl(doing),
                              "; free some space and try again"));
  }
  return Error(
      absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
      absl::StrCat(path.string(), ": error while ", ToAbsl(doing), ": ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::filesystem::path& path) {
  std::string temporary = path.string() + ".tmp-XXXXXX";
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return FileError(path, "creating it", errno);
  return std::unique_ptr<AtomicFile>(new AtomicFile(path, std::move(temporary), fd));
}

AtomicFile::AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

absl::Status AtomicFile::Failure(std::string_view doing) const {
  return FileError(path_, doing, errno);
}

absl::Status AtomicFile::Append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failure("writing it");
    size_ += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Append(std::string_view text) {
  return Append(std::as_bytes(std::span<const char>(text.data(), text.size())));
}

absl::Status AtomicFile::Commit() {
  // mkostemp gives 0600; an artifact is as readable as any other file the process makes.
  const mode_t mask = umask(0);
  umask(mask);
  if (fchmod(fd_, 0666 & ~mask) != 0) return Failure("setting its mode");
  if (fsync(fd_) != 0) return Failure("syncing it");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return Failure("renaming it");
  close(std::exchange(fd_, -1));
  const std::filesystem::path folder =
      path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  const int folder_fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) return Failure("opening its folder");
  const int synced = fsync(folder_fd);
  const int error = errno;
  close(folder_fd);
  return synced == 0 ? absl::OkStatus() : FileError(path_, "syncing its folder", error);
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
