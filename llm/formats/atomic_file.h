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
// Errors: ResourceExhausted DISK_FULL when the disk, quota or file size limit is full (it says how
// many bytes the file needs), FailedPrecondition FILE_UNREADABLE otherwise; both name the file.
class AtomicFile {
 public:
  // The folder must exist.
  static absl::StatusOr<std::unique_ptr<AtomicFile>> Create(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // How many bytes the whole file will have, for the message of a full disk. Without it, those
  // that have been appended are told.
  void set_expected_size(uint64_t bytes) { expected_ = bytes; }

  absl::Status Append(std::span<const std::byte> bytes);
  absl::Status Append(std::string_view text);
  absl::Status Commit();

  uint64_t size() const { return size_; }

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int fd);

  absl::Status Failure(std::string_view doing, uint64_t unwritten = 0) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_;
  uint64_t size_ = 0;
  uint64_t expected_ = 0;
};

// Create, Append, Commit.
absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view text);

// The whole file. NotFound FILE_MISSING, FailedPrecondition FILE_UNREADABLE, InvalidArgument
// FILE_TOO_LARGE over `limit`.
absl::StatusOr<std::string> ReadTextFile(const std::filesystem::path& path,
                                         size_t limit = size_t{256} << 20);

}  // namespace crossover::llm
