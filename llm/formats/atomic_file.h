// Writes a file so that readers see the old one or the new one, whole and on disk, and never
// anything between.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::llm {

// Bytes go to a temporary name in the same folder; Commit() makes them durable (fsync of file and
// folder) and renames. Destroyed without Commit(), it removes the temporary file. Not thread-safe.
//
// Errors: ResourceExhausted DISK_FULL when the disk or quota is full, FailedPrecondition
// FILE_UNREADABLE otherwise; both name the file.
class AtomicFile {
 public:
  // The folder must exist.
  static absl::StatusOr<std::unique_ptr<AtomicFile>> Create(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  absl::Status Append(std::span<const std::byte> bytes);
  absl::Status Append(std::string_view text);
  absl::Status Commit();

  uint64_t size() const { return size_; }

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int fd);

  absl::Status Failure(std::string_view doing) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_;
  uint64_t size_ = 0;
};

// Create, Append, Commit.
absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view text);

// The whole file. NotFound FILE_MISSING, FailedPrecondition FILE_UNREADABLE, InvalidArgument
// FILE_TOO_LARGE over `limit`.
absl::StatusOr<std::string> ReadTextFile(const std::filesystem::path& path,
                                         size_t limit = size_t{256} << 20);

}  // namespace crossover::llm
