// A file mapped read-only into memory.
#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "absl/status/statusor.h"

namespace crossover::llm {

// Immutable and thread-safe. The mapping lives as long as the object. Writers of this room replace
// files by rename, so a mapped file is never truncated under its reader.
class MappedFile {
 public:
  // NotFound FILE_MISSING if there is no such file, FailedPrecondition FILE_UNREADABLE
  // if it cannot be opened or is not a regular file.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}

  const std::byte* data_;
  size_t size_;
};

}  // namespace crossover::llm
