#include "llm/formats/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::llm {

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(
    const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return Error(absl::StatusCode::kNotFound, "FILE_MISSING",
                   absl::StrCat(path.string(), ": no such file. Check the path, or import the ",
                                "model again."));
    }
    return Error(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
                 absl::StrCat(path.string(), ": cannot be opened: ", std::strerror(errno)));
  }
  const auto close_fd = absl::MakeCleanup([fd] { close(fd); });
  struct stat info{};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    return Error(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
                 absl::StrCat(path.string(), ": is not a regular file"));
  }
  const size_t size = static_cast<size_t>(info.st_size);
  if (size == 0) return std::shared_ptr<const MappedFile>(new MappedFile(nullptr, 0));
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) {
    return Error(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
                 absl::StrCat(path.string(), ": cannot be mapped: ", std::strerror(errno)));
  }
  return std::shared_ptr<const MappedFile>(
      new MappedFile(static_cast<const std::byte*>(data), size));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace crossover::llm
