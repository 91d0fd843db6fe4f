// A file's bytes through the page cache.
#pragma once

#include <filesystem>
#include <string_view>

#include "absl/status/statusor.h"

namespace crossover::curation {

// Read-only. Movable; the view stays valid as long as the object.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::filesystem::path& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace crossover::curation
