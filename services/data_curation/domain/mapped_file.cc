#include "services/data_curation/domain/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::curation {
namespace {

absl::Status Failed(const std::filesystem::path& path, int error) {
  return Error(absl::StatusCode::kUnavailable, "FILE_READ_FAILED",
               absl::StrCat("cannot read ", path.string(), ": ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Failed(path, errno);
  struct stat info{};
  MappedFile file;
  if (fstat(fd, &info) != 0) {
    const int error = errno;
    close(fd);
    return Failed(path, error);
  }
  if (info.st_size > 0) {
    void* data = mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    const int error = errno;
    if (data == MAP_FAILED) {
      close(fd);
      return Failed(path, error);
    }
    file.data_ = static_cast<const char*>(data);
    file.size_ = info.st_size;
  }
  close(fd);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), size_);
}

}  // namespace crossover::curation
